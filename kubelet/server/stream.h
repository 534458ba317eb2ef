/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* exec, attach and port-forward: the runtime gives a URL, and the client's connection becomes a
 * pipe to it, whatever protocol the two speak (SPDY/3.1, WebSocket). run: a command's output. */
#include "kubelet/server/query.h"
#include "kubelet/server/server.h"

struct streams;

struct streams *streams_new(struct kubelet *k);
/* Closes all pipes. After the server's connections were closed. */
void streams_free(struct streams *s);

enum stream_kind { STREAM_EXEC, STREAM_ATTACH, STREAM_PORT_FORWARD, STREAM_RUN };

struct stream_target {
	const char *ns, *pod;
	const char *uid;       /* NULL: any */
	const char *container; /* NULL with STREAM_PORT_FORWARD */
};

/* Answers the exchange. */
void stream_serve(struct streams *s, struct http_exchange *x, enum stream_kind kind,
                  const struct stream_target *t, const struct query *q);
