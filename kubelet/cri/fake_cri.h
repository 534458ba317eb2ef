/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A container runtime in memory, for tests of what speaks CRI: sandboxes and containers that "run"
 * until they are stopped, images that are all there. Each method can be made to hang, to fail or to
 * answer nonsense. Lives on one loop. */
#include "common/base/arena.h"
#include "common/net/rpc_server.h"
#include "proto/cri.pb-c.h"

enum fake_mood { FAKE_FINE, FAKE_HANGS, FAKE_FAILS, FAKE_GARBAGE };

enum { FAKE_METHODS_MAX = 20, FAKE_THINGS_MAX = 64 };

struct fake_sandbox {
	char id[16];
	CriV1__PodSandboxConfig *config; /* unpacked; NULL: a free slot */
	bool ready;
	int64_t created_ns;
};

struct fake_container {
	char id[16];
	CriV1__CreateContainerRequest *made; /* unpacked; NULL: a free slot */
	CriV1__ContainerState state;
	int64_t created_ns, started_ns, finished_ns;
	int32_t exit_code;
};

struct fake_cri;

struct fake_method {
	struct fake_cri *owner;
	const char *name; /* "RunPodSandbox" */
	enum fake_mood mood;
	unsigned calls;
	void (*answer)(struct fake_cri *f, struct rpc_call *call, struct slice message);
};

struct fake_cri {
	struct rpc_server *server;
	struct loop *loop;
	struct fake_method methods[FAKE_METHODS_MAX];
	struct fake_sandbox sandboxes[FAKE_THINGS_MAX];
	struct fake_container containers[FAKE_THINGS_MAX];
	struct rpc_call *hanging[FAKE_THINGS_MAX]; /* calls that wait for the end of the test */
	unsigned n_hanging, next_id;
	bool image_missing, stopped;
};

/* endpoint: "unix:/tmp/x/cri.sock". */
void fake_cri_init(struct fake_cri *f, struct rpc_core *core, struct loop *loop,
                   const char *endpoint);
/* Ends the calls that hang; runs the loop until the server has stopped. */
void fake_cri_deinit(struct fake_cri *f);
/* By its name, "RunPodSandbox". */
struct fake_method *fake_method(struct fake_cri *f, const char *name);
unsigned fake_sandboxes(const struct fake_cri *f);
unsigned fake_containers(const struct fake_cri *f);
/* All of that name that run end with this code. */
void fake_exit(struct fake_cri *f, const char *container, int32_t exit_code);
/* Everything stops, as when the machine was started anew. */
void fake_reboot(struct fake_cri *f);
