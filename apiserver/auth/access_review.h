/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Handlers of authorization.k8s.io: endpoint_handlers, `arg` is the struct auth. */
#include "apiserver/endpoints/pipeline.h"

void access_review(void *arg, struct pipeline *p, struct request *req, struct response_sink *sink);
void local_access_review(void *arg, struct pipeline *p, struct request *req,
                         struct response_sink *sink);
void self_access_review(void *arg, struct pipeline *p, struct request *req,
                        struct response_sink *sink);
void self_rules_review(void *arg, struct pipeline *p, struct request *req,
                       struct response_sink *sink);
