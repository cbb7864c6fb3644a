/* CRC-32C (Castagnoli), for tables of LevelDB: finds damage, proves nothing.
 * [RFC 3720 12.1] */
#ifndef EMK_CORE_MODEL_CRC32C_H
#define EMK_CORE_MODEL_CRC32C_H

#include "core/base/span.h"

#define EMK_CRC32C_INIT 0u

/* The checksum of what `crc` covers (EMK_CRC32C_INIT: nothing yet) followed by s. */
uint32_t emk_crc32c(uint32_t crc, emk_span s);

#endif
