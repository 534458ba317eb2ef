/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Kubeconfig files (client-go's clientcmd/api/v1): where the apiservers are and who we are.
 *
 * The gRPC endpoints are those of the cluster extension named `kubec/grpc`
 * (`extension: {endpoints: ["10.0.0.1:6444", ...]}`) or, without it, the server's port + 1. File
 * names in the kubeconfig are relative to its folder. */
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/net/tls_creds.h"

struct kubeconfig {
	struct arena arena;
	const char *server;         /* "https://10.0.0.1:6443" */
	const char *grpc_endpoints; /* "https://10.0.0.1:6444,https://10.0.0.2:6444" */
	const char *ns;             /* of the context; "default" without */
	struct tls_creds_options tls;
	bool is_tls;            /* server is https: tls counts */
	const char *token;      /* NULL: none */
	const char *token_file; /* read again when it changes; wins over token */
	const char *user_name, *cluster_name, *context_name;
};

/* context NULL: current-context. */
int kubeconfig_load(const char *path, const char *context, struct kubeconfig *ret, struct err *err);
int kubeconfig_parse(struct slice yaml, const char *folder, const char *context,
                     struct kubeconfig *ret, struct err *err);
void kubeconfig_deinit(struct kubeconfig *k);
