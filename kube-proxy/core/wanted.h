/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The elements that a service should have in the kernel. Pure. */
#include "kube-proxy/core/endpoints.h"

struct wanted {
	enum family family;
	const struct layout_config *config;
	const struct service *svc;
	const slice_list *slices;
	/* What the service has: endpoints keep their number while they stay. Sorted. */
	const element_list *have;
	/* A frontend belongs to one service, and to one of its ports: false when it is taken. */
	bool (*claim)(void *arg, const struct frontend *fe);
	void *arg;
	element_list list; /* out */
	bool denied;       /* out: a claim was refused */
};

/* Fills list, sorted. */
void wanted_elements(struct wanted *w);
