/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Standard base64 with padding (RFC 4648 section 4), as Go's base64.StdEncoding: CR and LF are
 * skipped on decoding; raw URL form (section 5, no padding) for tokens. */
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

void base64_encode(struct slice in, struct buf *out);
/* Error text as Go's: "illegal base64 data at input byte N". */
_must_use_ int base64_decode(struct slice in, struct arena *a, struct slice *ret, struct err *err);

void base64url_encode(struct slice in, struct buf *out);
_must_use_ int base64url_decode(struct slice in, struct arena *a, struct slice *ret,
                                struct err *err);
