/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Requests that the apiserver hands on: pods/log, exec, attach and port-forward to the kubelet of
 * the pod's node; pods/proxy, services/proxy and nodes/proxy to whatever listens there. A request
 * stays on its front loop and has a connection of its own; nothing is shared but the TLS contexts.
 */
#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/daemon/metrics.h"

struct pipeline;
struct proxy;

struct proxy_options {
	/* Files in PEM, NULL: none. Without a CA kubelets are not verified, as upstream does. */
	const char *kubelet_ca_file, *kubelet_cert_file, *kubelet_key_file;
	const char *const *address_types; /* of Node addresses, preferred first; none: upstream's */
	size_t n_address_types;
	uint32_t timeout_ms; /* until a kubelet is connected */
	struct metrics *metrics;
};

/* Puts its handlers into the pipeline. The options' strings must outlive it. */
int proxy_new(const struct proxy_options *o, struct pipeline *pipeline, struct proxy **ret,
              struct err *err);
void proxy_free(struct proxy *p);
