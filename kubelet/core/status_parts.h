/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of a PodStatus; pod_status puts them together. */
#include "kubelet/core/status.h"

/* What is reported of one container. */
CoreV1__ContainerStatus *container_status(const struct status_input *in, struct arena *a,
                                          const CoreV1__Container *spec, enum container_kind kind);
/* Fills s->conditions from the rest of the status. */
void status_conditions(const struct status_input *in, CoreV1__PodStatus *s, struct arena *a);
/* A sandbox that containers can be started in, with its network. */
bool status_has_sandbox(const struct status_input *in);
/* Some regular container was made in the present sandbox. */
bool status_was_initialized(const struct status_input *in);
