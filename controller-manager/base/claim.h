/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an owner controls (kubernetes pkg/controller/controller_ref_manager.go): objects that its
 * selector matches. Orphans that match are adopted, those that do not match any more are let go. */
#include "common/client/informer.h"
#include "common/codec/labels.h"
#include "controller-manager/base/work.h"
#include "proto/meta_v1.pb-c.h"

struct claim {
	struct client *client;
	struct client_resource resource; /* of what is claimed */
	const struct schema_message *schema;
	struct informer *objects;
	unsigned by_owner, orphans; /* its indexes: informer_index_owner, index_orphan */
	/* The owner. One that is being deleted neither adopts nor lets go. */
	const char *api_version, *kind;
	const MetaV1__ObjectMeta *owner;
	const struct label_selector *selector;
	const char *finalizer; /* set on what is adopted; NULL: none */
	/* May this orphan be adopted? NULL: any that is not being deleted. */
	bool (*adoptable)(const ProtobufCMessage *msg);
};

/* The decoded objects that the owner controls, an array of pointers in the arena. Patches hold the
 * work; what they adopt is seen in a later turn. */
size_t claim_objects(const struct claim *c, struct work *w, struct arena *a, void *ret);
