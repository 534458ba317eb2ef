/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Services and slices in short lines, for tests of kube-proxy: each becomes the API object that a
 * real apiserver would send.
 *
 *     node n1 zone=a
 *     config pods=10.244.0.0/16 nodeports=10.0.0.1/32 services=10.96.0.0/16 masquerade-all
 *     service ns/web ip=10.96.0.10,fd00::10 ports=http:80/TCP:30080,dns:53/UDP external=1.2.3.4
 *             lb=5.6.7.8 ranges=10.0.0.0/8 internal=Local policy=Local affinity=60 health=30123
 *     slice ns/web-1 of=web ports=http:8080/TCP eps=10.1.0.1@n1,10.1.0.2@n2!,10.1.0.3~,10.1.0.4^a
 *     delete-service ns/web
 *     delete-slice ns/web-1
 *     {"kind":"Service",...}        any object as JSON
 *
 * Endpoints: @node, ! not ready, ~ serving while it terminates, ^zone and =node are hints. A slice
 * is of IPv6 when its first address has a colon. */
#include "common/base/err.h"
#include "kube-proxy/core/state.h"

struct script {
	struct proxy_state *state;
	struct layout_config config;
	char node[64], zone[64];
};

void script_init(struct script *s);
void script_deinit(struct script *s);
/* 0; or err for a line that is none of the above. */
int script_line(struct script *s, const char *line, struct err *err);
