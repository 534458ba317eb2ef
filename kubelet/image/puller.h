/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Pulls images, no more at once and no more often than the node allows, with each of the
 * credentials until one is good. */
#include "kubelet/image/keyring.h"
#include "kubelet/kubelet.h"

struct puller;
struct pull;

struct pull_request {
	const char *image;
	const struct registry_auth **auths; /* copied */
	size_t n_auths;
	const CriV1__PodSandboxConfig *sandbox; /* copied */
};

/* error NULL: it was pulled, in pull_ms without the time in the queue. */
typedef void (*pull_done_fn)(const char *error, uint64_t pull_ms, void *arg);

struct puller *puller_new(struct kubelet *k);
void puller_free(struct puller *p);
/* Calls done once, later. */
struct pull *pull_start(struct puller *p, const struct pull_request *r, pull_done_fn done,
                        void *arg);
void pull_drop(struct pull *p); /* NULL does nothing */
