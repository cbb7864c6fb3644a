#include "core/base/os_process.h"

#include <unistd.h>

uint64_t emk_os_process_id(void)
{
    return (uint64_t)getpid();
}
