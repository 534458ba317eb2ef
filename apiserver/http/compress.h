/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* gzip for large answers (upstream's APIResponseCompression): a client that accepts it gets what is
 * 128 KiB and more compressed at the fastest level. An answer of unknown length is held back until
 * it is that long or over. */
#include "common/net/http_server.h"

struct compressor;

/* Whether "gzip" is among what an Accept-Encoding header takes. */
bool compress_accepted(struct slice accept_encoding);

/* In the exchange's arena. */
struct compressor *compressor_new(struct http_exchange *x);
/* Instead of http_start, http_write and http_end. */
void compressor_start(struct compressor *c, int status, const char *content_type,
                      int64_t content_length);
int compressor_write(struct compressor *c, struct slice data);
void compressor_end(struct compressor *c);
/* Before http_abort. */
void compressor_drop(struct compressor *c);
