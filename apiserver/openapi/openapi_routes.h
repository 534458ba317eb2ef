/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* /openapi/v3, its documents, and /openapi/v2 in JSON and protobuf. Any front loop. */
#include "apiserver/request/request.h"

/* A route (http_route_fn) for "/openapi/v3", "/openapi/v3/" and "/openapi/v2". */
bool openapi_serve(void *unused, struct request *req, struct response_sink *sink);
