/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_check.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "supervise/deployment_state.h"
#include "supervise/health_probe.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/worker_env.h"

/* A command that takes longer than the interval, and this time, can't say. */
#define TIMEOUT_MIN_NS (10 * NS_PER_S)

static void deployment_check_on_done(bool ok, const char *why, void *data)
{
	struct supervisor *sup = data;
	struct deployment *it = sup->deployment;
	struct health_probe *check = TAKE_PTR(it->check);
	const int status = health_probe_exit_status(check);

	it->n_good_checks += ok;
	it->n_bad_checks += status == 1;
	if (!ok)
		report_line(sup, "check: %s%s", why,
		            status == 1   ? ": the new version is bad"
		            : status == 2 ? ": it can't say"
		                          : "");
	health_probe_cancel(check);
}

/* Of the first worker of the new version. */
static const struct worker *deployment_check_find_worker(const struct supervisor *sup)
{
	for (unsigned int slot = 0; slot < sup->n_slots; slot++)
		if (sup->slots[slot].current && reload_state_phase(sup, slot) == ROLLOUT_REPLACED)
			return sup->slots[slot].current;
	return NULL;
}

/* Appends NAME=PID PID ..., of the workers of one version. */
static int deployment_check_add_pids(const struct supervisor *sup, bool new, char ***env)
{
	char text[16 * 1024];
	size_t used =
	        (size_t)snprintf(text, sizeof(text), "REUSEPORTD_%s_PIDS=", new ? "NEW" : "OLD");

	for (unsigned int slot = 0; slot < sup->n_slots; slot++) {
		const struct worker *w = sup->slots[slot].current;

		if (w && (reload_state_phase(sup, slot) == ROLLOUT_REPLACED) == new)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u",
			                         text[used - 1] == '=' ? "" : " ", w->pid);
	}
	return strv_append(env, text);
}

/* The worker's environment, and the deployment's. */
static char **deployment_check_new_env(const struct supervisor *sup, const struct worker *w)
{
	const struct deployment *it = sup->deployment;
	const unsigned int permille = it->steps[it->step - 1].permille;
	char texts[3][64 + RPD_LABEL_MAX];
	char **env = worker_env_new(w);
	int r = env ? 0 : -ENOMEM;

	snprintf(texts[0], sizeof(texts[0]), "REUSEPORTD_OLD_VERSION=%s", it->old_label);
	snprintf(texts[1], sizeof(texts[1]), "REUSEPORTD_STEP=%zu", it->step);
	snprintf(texts[2], sizeof(texts[2]), "REUSEPORTD_SHARE=%u.%u", permille / 10,
	         permille % 10);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
		r = strv_append(&env, texts[i]);
	for (int new = 0; r == 0 && new < 2; new ++)
		r = deployment_check_add_pids(sup, new, &env);
	if (r == 0)
		return env;
	strv_free(env);
	return NULL;
}

static int deployment_check_start(struct supervisor *sup, struct error *err)
{
	struct deployment *it = sup->deployment;
	const struct run_config *config = &it->plan->config;
	const struct worker *w = deployment_check_find_worker(sup);
	_cleanup_strv_ char **env = w ? deployment_check_new_env(sup, w) : NULL;
	const struct health_probe_request request = {
	        .kind = READY_EXEC,
	        .argument = it->settings.check,
	        .timeout = it->settings.check_interval > TIMEOUT_MIN_NS
	                           ? it->settings.check_interval
	                           : TIMEOUT_MIN_NS,
	        .service = &sup->service,
	        .env = env,
	        .cwd = config->cwd,
	        .user = config->user,
	        .group = config->group,
	        .identity = config->identity,
	        .cgroup_path = sup->cgroup_path,
	        .done = deployment_check_on_done,
	        .data = sup,
	};

	if (!w)
		return 0;
	if (!env)
		return error_set(err, -ENOMEM, "out of memory");
	return health_probe_start(sup->loop, &request, &it->check, err);
}

void deployment_check_run(struct supervisor *sup, int64_t now)
{
	struct deployment *it = sup->deployment;
	struct error err = {};

	if (!it->settings.check[0] || it->check || now < it->check_at)
		return;
	it->check_at = now + it->settings.check_interval;
	if (deployment_check_start(sup, &err) < 0)
		report_line(sup, "check: %s", err.text);
}

struct verdict_count deployment_check_count(const struct supervisor *sup)
{
	const struct deployment *it = sup->deployment;

	return (struct verdict_count){.n = it->n_good_checks + it->n_bad_checks,
	                              .bad = it->n_bad_checks};
}

void deployment_check_end(struct supervisor *sup)
{
	struct deployment *it = sup->deployment;

	health_probe_cancel(it->check);
	it->check = NULL;
	it->check_at = 0;
}
