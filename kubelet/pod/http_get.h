/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The actions of probes and hooks over the network: an HTTP GET, a TCP connection, a gRPC health
 * check. Each calls back once, later, unless it was dropped. */
#include "kubelet/pod/pod.h"

struct http_get;
struct http_client;
/* status 0: no answer, `error` says why; else the answer's status and (the beginning of) its body.
 * Redirects to the same host are followed; a status of 3xx leads elsewhere. */
typedef void (*http_get_fn)(int status, const char *error, struct slice body, void *arg);
struct http_get *http_get_start(struct pod *p, const CoreV1__Container *c,
                                const CoreV1__HTTPGetAction *action, uint32_t timeout_ms,
                                http_get_fn done, void *arg);
void http_get_drop(struct http_get *g); /* NULL does nothing */

struct net_check;
/* error NULL: it went well. */
typedef void (*net_check_fn)(const char *error, void *arg);
struct net_check *tcp_check_start(struct pod *p, const CoreV1__Container *c,
                                  const CoreV1__TCPSocketAction *action, uint32_t timeout_ms,
                                  net_check_fn done, void *arg);
struct net_check *grpc_check_start(struct pod *p, const CoreV1__GRPCAction *action,
                                   uint32_t timeout_ms, net_check_fn done, void *arg);
void net_check_drop(struct net_check *n); /* NULL does nothing */

/* A number, or the number of the container's port of that name; 0: none. */
int container_port(const CoreV1__Container *c, const Intstr__IntOrString *port);
