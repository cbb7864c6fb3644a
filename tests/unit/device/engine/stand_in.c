/* Stands in for TensorFlow Lite's C library, which no package brings: the calls that the adapter
 * makes, each of which notes that it was made.  A model begins with "TFL3" at byte 4. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

const void *stand_in_model; /* where the bytes are that it was given */
size_t stand_in_len;
int stand_in_runs, stand_in_alive, stand_in_refuses_to_run;

static char model, interpreter, tensor;

void *TfLiteModelCreate(const void *data, size_t len);
void TfLiteModelDelete(void *m);
void *TfLiteInterpreterCreate(const void *m, const void *options);
void TfLiteInterpreterDelete(void *i);
int TfLiteInterpreterAllocateTensors(void *i);
int32_t TfLiteInterpreterGetInputTensorCount(const void *i);
void *TfLiteInterpreterGetInputTensor(const void *i, int32_t n);
size_t TfLiteTensorByteSize(const void *t);
int TfLiteTensorCopyFromBuffer(void *t, const void *data, size_t len);
int TfLiteInterpreterInvoke(void *i);

void *TfLiteModelCreate(const void *data, size_t len)
{
    if (len < 8 || memcmp((const char *)data + 4, "TFL3", 4) != 0)
        return NULL;
    stand_in_model = data;
    stand_in_len = len;
    stand_in_alive++;
    return &model;
}

void TfLiteModelDelete(void *m)
{
    stand_in_alive -= m == &model;
}

void *TfLiteInterpreterCreate(const void *m, const void *options)
{
    if (m != &model || options)
        return NULL;
    stand_in_alive++;
    return &interpreter;
}

void TfLiteInterpreterDelete(void *i)
{
    stand_in_alive -= i == &interpreter;
}

int TfLiteInterpreterAllocateTensors(void *i)
{
    return i != &interpreter;
}

int32_t TfLiteInterpreterGetInputTensorCount(const void *i)
{
    return i == &interpreter ? 2 : -1;
}

void *TfLiteInterpreterGetInputTensor(const void *i, int32_t n)
{
    return i == &interpreter && n < 2 ? &tensor : NULL;
}

size_t TfLiteTensorByteSize(const void *t)
{
    return t == &tensor ? 16 : 0;
}

int TfLiteTensorCopyFromBuffer(void *t, const void *data, size_t len)
{
    static const char zeros[16];

    return t != &tensor || len != 16 || memcmp(data, zeros, 16) != 0;
}

int TfLiteInterpreterInvoke(void *i)
{
    stand_in_runs++;
    return i != &interpreter || stand_in_refuses_to_run;
}
