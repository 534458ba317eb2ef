/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Two tunnels joined to one pipe: what comes out of one goes into the other, in both directions, as
 * fast as the slower side takes it and no faster. When one side closes, so does the other after it
 * has got everything. */
#include "common/net/http_server.h"

struct http_splice {
	/* For http_upgrade and http_client_call; their callbacks are the splice's. */
	struct http_tunnel near, far;
	/* Both are closed; may free the splice. At most once, never from within the functions
	 * below. */
	void (*on_end)(void *arg);
	void *arg;
	uint64_t near_bytes, far_bytes; /* that came from each */
};

void http_splice_init(struct http_splice *s, void (*on_end)(void *arg), void *arg);
/* on_end does not come after this. */
void http_splice_close(struct http_splice *s);
