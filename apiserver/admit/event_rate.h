/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* EventRateLimit: how many events a second the server takes, in all, of a namespace, of a user, or
 * of a source about an object (kubernetes plugin/pkg/admission/eventratelimit). Token buckets;
 * those that were not used for longest are forgotten when there are too many. Any thread. */
#include "apiserver/endpoints/pipeline.h"
#include "common/codec/jvalue.h"

struct event_rate;

/* The limits of a Configuration of eventratelimit.admission.k8s.io. */
_must_use_ int event_rate_new(const struct jvalue *configuration, struct event_rate **ret,
                              struct err *err);
void event_rate_free(struct event_rate *r); /* NULL allowed */
/* NULL, or why the request must wait. Requests that are not about events pass. */
const char *event_rate_refusal(struct event_rate *r, const struct admission_attrs *at,
                               uint64_t now_ns);
