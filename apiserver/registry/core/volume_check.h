/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Checks of volume sources that pods and persistent volumes share. Internal to registry/. */
#include "apiserver/registry/check.h"

/* Checks the one source that is set in a VolumeSource or PersistentVolumeSource; a second one is
 * forbidden, none at all is `none`. `name` is put into the paths' names of the volume. */
void volume_source_check(errs_t errs, path_t p, const ProtobufCMessage *source, const char *none);
/* The name of a CSI driver. */
void csi_driver_check(errs_t errs, path_t p, const char *name);
/* What a source of a storage system's own type has beyond required members; others pass. */
void vendor_volume_check(errs_t errs, path_t p, const ProtobufCMessage *source);
