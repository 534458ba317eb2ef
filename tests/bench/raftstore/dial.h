/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "common/base/err.h"

/* A TCP connection to "host:port" or "[address]:port" without Nagle's delay, a read of which ends
 * with EAGAIN after read_ms. While there is no server yet it tries again, for patience_ms.
 * Returns the descriptor or -ERR_x. */
_must_use_ int dial(const char *authority, uint32_t patience_ms, uint32_t read_ms, struct err *err);
