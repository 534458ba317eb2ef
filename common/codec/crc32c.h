/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* CRC-32C (Castagnoli), in hardware where the processor has it. */
#include <stddef.h>
#include <stdint.h>

/* Continues a checksum: crc32c(crc32c(0, a), b) is that of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
