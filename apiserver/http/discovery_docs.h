/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Serves /api, /apis and what is below them that is no resource, in the negotiated form. */
#include "apiserver/request/request.h"

struct http_routes;

/* False: the path is no discovery document of ours. */
bool discovery_serve(struct http_routes *r, struct request *req, struct response_sink *sink);
/* Forgets what was encoded. */
void discovery_docs_drop(struct http_routes *r);
