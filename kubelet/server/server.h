/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The kubelet's ports: HTTPS 10250 for the apiserver and administrators (containerLogs, pods,
 * metrics, healthz) and plain health checks on 127.0.0.1:10248.
 *
 * A caller of 10250 shows a certificate that --client-ca-file has signed; it must be in
 * system:masters or kubeadm:cluster-admins, or be the apiserver's kubelet client. */
#include "common/net/http_server.h"
#include "kubelet/kubelet.h"

struct server;

int server_start(struct kubelet *k, struct server **ret, struct err *err);
void server_free(struct server *s);

/* auth.c */
struct server_auth;
int server_auth_new(const char *client_ca_file, struct server_auth **ret, struct err *err);
void server_auth_free(struct server_auth *a);
enum server_access { ACCESS_GRANTED, ACCESS_ANONYMOUS, ACCESS_DENIED };
/* Who is it, and may they? *ret_user: the common name, good as long as the connection. */
enum server_access server_auth_check(struct server_auth *a, struct http_peer *peer,
                                     const char **ret_user);

/* logs.c: answers GET /containerLogs/<ns>/<pod>/<container>. */
void server_logs(struct kubelet *k, struct http_exchange *x, const char *ns, const char *pod,
                 const char *container, const char *query);
