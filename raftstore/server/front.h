/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where clients come in. https:// URLs are gRPC's own. On http:// ones the front takes the socket
 * itself and looks at the first bytes: an HTTP/2 preface goes to gRPC, everything else to a small
 * HTTP server, which answers /health, /version and /metrics, as it does on --listen-metrics-urls.
 */
#include "raftstore/server/server.h"

int front_start(struct server *s, struct err *err);
/* The plain sockets are accepted from now on. */
void front_serve(struct front *f);
/* done(arg) runs on the loop once all is closed. */
void front_stop(struct front *f, loop_fn done, void *arg);
void front_free(struct server *s);
