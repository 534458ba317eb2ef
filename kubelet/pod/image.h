/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Makes sure that a container's image is on this machine, by its pull policy. */
#include "kubelet/pod/container_config.h"

struct image_ensure;

/* reason NULL: `image` is there (valid during the callback). Else why the container must wait:
 * "ErrImagePull", "ErrImageNeverPull", "ImageInspectError", with a message. */
typedef void (*image_done_fn)(const struct image_info *image, const char *reason,
                              const char *message, void *arg);

/* image: c's, complete (image/name.h). */
struct image_ensure *image_ensure(struct pod *p, const CoreV1__Container *c, const char *image,
                                  image_done_fn done, void *arg);
/* done does not come. */
void image_ensure_drop(struct image_ensure *i);
/* Milliseconds until the image may be pulled again after it failed; 0: now. *ret_error: what the
 * last pull said. */
uint64_t image_backing_off(struct pod *p, const char *image, const char **ret_error);
