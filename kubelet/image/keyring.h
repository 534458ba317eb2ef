/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Credentials of registries, from image pull secrets and docker's configuration files, and which of
 * them are for an image (kubelet credentialprovider keyring). Pure; all in the arena. */
#include "common/base/arena.h"
#include "common/base/err.h"

struct registry_auth {
	const char *place; /* "registry.example.com:5000/team", may have "*" in parts of the host */
	const char *username, *password, *identity_token;
};

struct keyring {
	struct registry_auth *at;
	size_t n;
};

/* Adds what a configuration holds: {"auths": {...}} as in kubernetes.io/dockerconfigjson, or only
 * what "auths" has as in kubernetes.io/dockercfg (`legacy`). */
int keyring_add(struct keyring *k, struct slice json, bool legacy, struct arena *a,
                struct err *err);
/* Those for a repository (image_repository), the most specific places first. */
const struct registry_auth **keyring_lookup(const struct keyring *k, const char *repository,
                                            struct arena *a, size_t *ret_n);
