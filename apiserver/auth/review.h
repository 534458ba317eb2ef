/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What handlers of objects that are never stored share: reading the body, answering with it. */
#include "apiserver/endpoints/pipeline.h"
#include "proto/schema.h"

struct MetaV1__Time;

/* Decodes the body as `schema`. NULL, or the refusal. */
const struct status *review_decode(const struct request *req, const struct schema_message *schema,
                                   struct object *ret);
/* The object's namespace against that of the path: filled in, or refused. */
const struct status *review_namespace(const struct request *req, struct object *obj);
/* Writes down who wrote which fields, if that is wanted. NULL, or the refusal. */
const struct status *review_manage(struct pipeline *p, struct request *req, struct object *obj);
/* 201 with the object as the client accepts it. Ends the answer. */
void review_reply(const struct request *req, struct response_sink *sink, const struct object *obj);
/* 422 of `errs`; `kind` "" is what access reviews have. */
const struct status *review_invalid(const struct request *req, const char *group, const char *kind,
                                    const struct field_errors *errs);
void time_set(struct MetaV1__Time *t, int64_t sec);
