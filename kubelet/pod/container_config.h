/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The CRI configuration of one container. Makes the files that it mounts: its log folder, its
 * termination message file, the pod's hosts file. */
#include "kubelet/pod/env.h"

/* What ImageStatus says of the container's image. */
struct image_info {
	const char *ref; /* the image's id: what the container is made of */
	bool has_uid;
	int64_t uid;
	const char *username; /* "" when the image names none */
};

/* OBJECT_WAIT: wake(arg) comes later. */
enum object_state container_config(struct pod *p, const CoreV1__Container *c, uint32_t attempt,
                                   const struct image_info *image, loop_fn wake, void *arg,
                                   struct arena *a, CriV1__ContainerConfig **ret, struct err *err);
