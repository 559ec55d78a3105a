/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_command.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/strv.h"
#include "supervise/deployment_state.h"
#include "supervise/reload_state.h"
#include "supervise/worker_env.h"

/* The slot's worker of that version, which is in the slot, or is ready for it; or NULL. */
static const struct worker *deployment_command_worker(const struct supervisor *sup,
                                                      unsigned int slot, bool is_new)
{
	const int phase = reload_state_phase(sup, slot);

	if (is_new && phase == ROLLOUT_READY)
		return sup->slots[slot].next;
	return (phase == ROLLOUT_REPLACED) == is_new ? sup->slots[slot].current : NULL;
}

/* The first worker of the new version, or else of the old one. */
static const struct worker *deployment_command_find_worker(const struct supervisor *sup)
{
	const struct worker *found = NULL;

	for (int old = 0; !found && old < 2; old++)
		for (unsigned int slot = 0; !found && slot < sup->n_slots; slot++)
			found = deployment_command_worker(sup, slot, !old);
	return found;
}

/* Appends NAME=PID PID ..., of the workers of one version. */
static int deployment_command_add_pids(const struct supervisor *sup, bool is_new, char ***env)
{
	char text[16 * 1024];
	size_t used =
	        (size_t)snprintf(text, sizeof(text), "REUSEPORTD_%s_PIDS=", is_new ? "NEW" : "OLD");

	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const struct worker *w = deployment_command_worker(sup, slot, is_new);

		if (w)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u",
			                         text[used - 1] == '=' ? "" : " ", w->pid);
	}
	return strv_append(env, text);
}

/* The worker's environment, and the deployment's. */
static char **deployment_command_new_env(const struct supervisor *sup, const struct worker *w,
                                         const char *event)
{
	const struct deployment *it = sup->deployment;
	char texts[5][64 + RPD_LABEL_MAX];
	char **env = worker_env_new(w);
	int r = env ? 0 : -ENOMEM;

	snprintf(texts[0], sizeof(texts[0]), "REUSEPORTD_OLD_VERSION=%s", it->old_label);
	snprintf(texts[1], sizeof(texts[1]), "REUSEPORTD_NEW_VERSION=%s", it->label);
	snprintf(texts[2], sizeof(texts[2]), "REUSEPORTD_STEP=%zu", it->step);
	snprintf(texts[3], sizeof(texts[3]), "REUSEPORTD_SHARE=%.1f", deployment_state_share(it));
	snprintf(texts[4], sizeof(texts[4]), "REUSEPORTD_EVENT=%s", event);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
		r = strv_append(&env, texts[i]);
	for (int new = 0; r == 0 && sup->reload &&new < 2; new ++)
		r = deployment_command_add_pids(sup, new, &env);
	if (r == 0)
		return env;
	strv_free(env);
	return NULL;
}

int deployment_command_start(struct supervisor *sup, const struct deployment_command *command,
                             struct health_probe **ret, struct error *err)
{
	const struct run_config *config = &sup->deployment->plan->config;
	const struct worker *w = deployment_command_find_worker(sup);
	_cleanup_strv_ char **env = w ? deployment_command_new_env(sup, w, command->event) : NULL;
	const struct health_probe_request request = {
	        .kind = READY_EXEC,
	        .argument = command->text,
	        .timeout = command->timeout,
	        .service = &sup->service,
	        .env = env,
	        .cwd = config->cwd,
	        .user = config->user,
	        .group = config->group,
	        .identity = config->identity,
	        .cgroup_path = sup->cgroup_path,
	        .done = command->done,
	        .data = command->data,
	};

	if (!w)
		return error_set(err, -ESRCH,
		                 "no worker lives, so there is no environment for the command");
	if (!env)
		return error_set(err, -ENOMEM, "out of memory");
	return health_probe_start(sup->loop, &request, ret, err);
}
