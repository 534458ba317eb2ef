/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A check that Endpoints and EndpointSlices share. Internal to registry/. */
#include "apiserver/registry/check.h"

/* Addresses that cannot be an endpoint: loopback, link-local, unspecified. Ignores bad syntax. */
void endpoint_ip_check(errs_t errs, path_t p, const char *text);
