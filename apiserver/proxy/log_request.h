/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a GET of pods/log asks: its options (core/v1 PodLogOptions), checked as upstream does. */
#include "apiserver/request/request.h"
#include "apiserver/request/status.h"

struct log_request {
	const char *container; /* as asked for; "" */
	bool insecure;         /* insecureSkipTLSVerifyBackend */
	const char *query;     /* what the kubelet is asked: "follow=true&tailLines=3" */
};

/* NULL, or the refusal. */
const struct status *log_request_parse(const struct request *req, struct log_request *ret);
