/* A PKCS#11 module in front of another one, whose private keys are slow: an operation waits for as
 * long as there is a file SLOW_PKCS11_GATE, and says by the file "<gate>.waiting" that it does.
 * SLOW_PKCS11_BEHIND is the other module. */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEP_NS 10000000

static CK_FUNCTION_LIST_PTR behind;
static CK_FUNCTION_LIST front;

static void wait_at_the_gate(void)
{
    const char *gate = getenv("SLOW_PKCS11_GATE");
    char sign[4096];
    int fd;

    if (!gate || access(gate, F_OK) != 0)
        return;
    snprintf(sign, sizeof sign, "%.4000s.waiting", gate);
    fd = open(sign, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    while (access(gate, F_OK) == 0)
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
}

// NOLINTNEXTLINE(readability-function-size): as PKCS#11 has it
static CK_RV slow_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR sig,
                       CK_ULONG_PTR sig_len)
{
    wait_at_the_gate();
    return behind->C_Sign(session, data, len, sig, sig_len);
}

// NOLINTNEXTLINE(readability-function-size): as PKCS#11 has it
static CK_RV slow_derive(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
                         CK_OBJECT_HANDLE key, CK_ATTRIBUTE_PTR template, CK_ULONG count,
                         CK_OBJECT_HANDLE_PTR derived)
{
    wait_at_the_gate();
    return behind->C_DeriveKey(session, mechanism, key, template, count, derived);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
    const char *path = getenv("SLOW_PKCS11_BEHIND");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    CK_C_GetFunctionList get = NULL;
    void *symbol = module ? dlsym(module, "C_GetFunctionList") : NULL;

    if (!symbol)
        return CKR_GENERAL_ERROR;
    memcpy(&get, &symbol, sizeof get);
    if (get(&behind) != CKR_OK)
        return CKR_GENERAL_ERROR;
    front = *behind;
    front.C_Sign = slow_sign;
    front.C_DeriveKey = slow_derive;
    *list = &front;
    return CKR_OK;
}
