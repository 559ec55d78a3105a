/* SPDX-License-Identifier: BSD-2-Clause */
#include "config/pm2_mode.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/pm2_own.h"

#define PM2_LISTEN_TIMEOUT (3 * NS_PER_S)
#define READY_TIMEOUT_MIN  (30 * NS_PER_S)
#define PM2_BACKOFF_RESET  (30 * NS_PER_S)

bool pm2_mode_is_run_by(const struct pm2_app *app, const char *name)
{
	const char *program = app->config->argv ? app->config->argv[0] : "";
	const size_t n = strlen(program), n_name = strlen(name);

	return n >= n_name && !strcmp(program + n - n_name, name);
}

bool pm2_mode_is_cluster(const struct pm2_app *app)
{
	static const char *const modes[] = {"exec_mode", NULL}, *const forks[] = {"execute_command",
	                                                                          NULL};
	const char *mode = pm2_app_text(pm2_app_get(app, modes, NULL));
	struct json_object *instances = json_object_object_get(app->json, "instances");
	const char *text = pm2_app_text(instances);
	char *end;
	double number;

	if (pm2_app_get(app, forks, NULL))
		return false;
	if (mode)
		return !strncmp(mode, "cluster", strlen("cluster"));
	if (!text || !(pm2_mode_is_run_by(app, "node") || pm2_mode_is_run_by(app, "bun")))
		return false;
	if (!strcmp(text, "max"))
		return true;
	number = strtod(text, &end);
	if (json_object_is_type(instances, json_type_string)) /* without its fraction */
		return end > text && number > -2;
	return number >= 1 || number == 0 || number == -1;
}

/* In fork mode, PM2 never runs two processes of one instance at a time. In cluster mode, its
 * workers share all TCP addresses. */
void pm2_mode_set_sharing(struct pm2_app *app)
{
	app->config->share_loopback = pm2_mode_is_cluster(app);
	if (app->config->argv && !pm2_own_has(app, "in_place") && !pm2_mode_is_cluster(app))
		app->config->in_place = RUN_IN_PLACE_UNLESS_LISTENING;
}

/*
 * PM2 treats a worker that is not ready after listen_timeout as ready. Here, too, a worker that
 * does not listen by then is ready (ready=alive), or that does not send the message
 * (core/ready_rule.h). If it must listen, or must send the message, it gets more time than in PM2;
 * after that, it has failed.
 */
void pm2_mode_set_ready_times(struct pm2_app *app)
{
	static const char *const names[] = {"listen_timeout", NULL};
	struct run_config *config = app->config;
	const bool given = json_object_get_boolean(pm2_app_get(app, names, NULL));
	const int64_t timeout = given ? config->ready_timeout : PM2_LISTEN_TIMEOUT;

	if (pm2_own_has(app, "ready"))
		return;
	config->ready_timeout = timeout < READY_TIMEOUT_MIN ? READY_TIMEOUT_MIN : timeout;
	if (timeout >= READY_TIMEOUT_MIN)
		config->ready_timeout += NS_PER_S;
	/* Where `listen` is set, they must listen. */
	if (config->ready != READY_MESSAGE && !config->n_listens)
		config->ready = READY_ALIVE;
	config->alive_after = timeout;
	pm2_own_set_again(app, "ready_timeout");
}

/* How long PM2 waits in all before it has started a worker that crashes at once @n times again. In
 * ns, as a floating point number, because it may be centuries. */
static double pm2_mode_sum_pauses(const struct run_config *config, bool grows, unsigned int n)
{
	double pause = (double)(grows ? config->backoff_min : config->restart_delay), sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		sum += pause;
		if (grows && pause < (double)config->backoff_max)
			pause *= 1.5;
	}
	return sum;
}

/*
 * PM2 gives up after max_restarts crashes, but only within the first max_restarts * min_uptime. So
 * with pauses that add up to more it never gives up, for example while a database is down. Without
 * exp_backoff_restart_delay its pauses do not grow.
 */
void pm2_mode_set_restarts(struct pm2_app *app)
{
	static const char *const names[] = {"exp_backoff_restart_delay", NULL};
	struct run_config *config = app->config;
	const bool grows = json_object_get_boolean(pm2_app_get(app, names, NULL));
	const double window = (double)config->max_restarts * (double)config->min_uptime;

	if ((!grows && !config->restart_delay) || pm2_own_has(app, "backoff"))
		return;
	if (grows)
		config->restart_delay = 0;
	else
		config->backoff_min = config->backoff_max = 1;
	config->backoff_of_pm2 = grows;
	if (pm2_mode_sum_pauses(config, grows, config->max_restarts - 1) < window)
		return;
	/* Crashes need no count any more, only the growth of the pause. */
	config->max_restarts = UINT_MAX;
	if (grows && config->min_uptime < PM2_BACKOFF_RESET)
		config->min_uptime = PM2_BACKOFF_RESET;
}
