/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/deployment_request.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "base/strv.h"
#include "config/deploy_option.h"
#include "core/request.h"
#include "service/deployment_file.h"
#include "stream/log.h"
#include "supervise/control.h"
#include "supervise/deployment.h"
#include "supervise/deployment_note.h"
#include "supervise/deployment_return.h"
#include "supervise/deployment_state.h"
#include "supervise/plan.h"
#include "supervise/plan_request.h"
#include "supervise/postponed.h"
#include "supervise/reload.h"
#include "supervise/reload_state.h"
#include "supervise/report.h"
#include "supervise/worker_reports.h"

/* Answers the clients that wait for that. */
static int deployment_request_answer(struct supervisor *sup, enum control_wait what)
{
	struct json_object *view = deployment_note_new_view(sup, sup->deployment);

	control_answer_deployment(sup, what, EXIT_OK, NULL, view);
	json_object_put(view);
	return 0;
}

/* --- deploy */

/* The label before, with its number at the end increased by one: v2 after v1. */
static void deployment_request_next_label(const char *label, char ret[RPD_LABEL_MAX])
{
	size_t n = strlen(label), digits = 0;
	char number[24];

	while (digits < n && digits < 9 && isdigit((unsigned char)label[n - digits - 1]))
		digits++;
	snprintf(number, sizeof(number), "%ld", digits ? atol(label + n - digits) + 1 : 2);
	n -= digits;
	if (n + strlen(number) >= RPD_LABEL_MAX)
		n = RPD_LABEL_MAX - 1 - strlen(number);
	snprintf(ret, RPD_LABEL_MAX, "%.*s%s", (int)n, label, number);
}

enum deployment_request_news {
	DEPLOYMENT_REQUEST_NEW,
	DEPLOYMENT_REQUEST_SAME,  /* as the plan in force: there is nothing to do */
	DEPLOYMENT_REQUEST_JOINS, /* the deployment under way, which does the same */
	DEPLOYMENT_REQUEST_LATER, /* when the deployment under way has ended */
};

/* The deployment under way, if it is of the version that is asked for: a client that has lost its
 * connection asks again. Otherwise NULL. */
static const struct deployment *deployment_request_joined(const struct supervisor *sup,
                                                          const struct request *request)
{
	const struct deployment *it = deployment_state_under_way(sup);
	const bool joins = it && !it->goes_back && !request->supersede &&
	                   request->fields & REQUEST_LABEL && !strcmp(request->label, it->label);

	return joins ? it : NULL;
}

/* The new version needs a label of its own. */
static int deployment_request_label(const struct supervisor *sup, const struct request *request,
                                    struct plan *plan, struct error *err)
{
	const bool same_label = !strcmp(plan->config.label, sup->plan->config.label);
	const bool same_command = strv_equal(plan->config.argv, sup->plan->config.argv);
	const struct deployment *joined = deployment_request_joined(sup, request);

	plan->relabel = true;
	if (joined)
		return strv_equal(plan->config.argv, joined->plan->config.argv)
		               ? DEPLOYMENT_REQUEST_JOINS
		               : error_set(err, -EBUSY,
		                           "the deployment of '%s' is in progress, with another "
		                           "command; give the new version another name, and "
		                           "--supersede",
		                           joined->label);
	if (same_label && request->fields & REQUEST_LABEL)
		return same_command ? DEPLOYMENT_REQUEST_SAME
		                    : error_set(err, -EEXIST,
		                                "version '%s' runs another command; give the new "
		                                "version another name: --label",
		                                plan->config.label);
	if (same_label)
		deployment_request_next_label(sup->plan->config.label, plan->config.label);
	return DEPLOYMENT_REQUEST_NEW;
}

static bool deployment_request_supersedes(const struct supervisor *sup,
                                          const struct request *request)
{
	return request->supersede && deployment_state_under_way(sup);
}

static void deployment_request_go_on(struct supervisor *sup, const struct request *request,
                                     const struct run_config *of_file, const struct error *why);

/* Aborts the deployment under way. What follows begins from the version that is stable: at once, or
 * when the old workers have their slots again. */
static int deployment_request_supersede(struct supervisor *sup, const struct request *request,
                                        const struct run_config *of_file, struct error *err)
{
	int r = 0;

	if (reload_state_old_lives(sup))
		r = deployment_abort(sup, "superseded by another deployment", err);
	if (r < 0 || !sup->reload)
		return r;
	if (!reload_state_old_lives(sup))
		return error_set(err, -EBUSY,
		                 "the deployment of '%s' can't be rolled back: no worker of the "
		                 "old version lives; let it end first: `reuseportd promote --full "
		                 "%s`",
		                 sup->deployment->label, sup->name);
	r = postponed_until_ended(sup, request, of_file, deployment_request_go_on, err);
	return r < 0 ? r : DEPLOYMENT_REQUEST_LATER;
}

/* Nothing is aborted before the request is checked. */
static int deployment_request_begin_plan(struct supervisor *sup, const struct request *request,
                                         const struct run_config *of_file, struct plan *plan,
                                         struct error *err)
{
	struct deploy_settings settings = plan->config.deploy;
	const struct deployment_order order = {
	        .plan = plan, .settings = &settings, .words = request->settings};
	int r = deploy_option_apply(&settings, request->settings, err), later = 0;

	if (r == 0)
		r = deployment_request_label(sup, request, plan, err);
	if (r == DEPLOYMENT_REQUEST_NEW)
		r = deployment_check(sup, &order, err);
	if (r >= 0 && deployment_request_supersedes(sup, request))
		later = deployment_request_supersede(sup, request, of_file, err);
	if (later)
		return later;
	if (r == DEPLOYMENT_REQUEST_NEW)
		r = worker_reports_open_notify(sup, &plan->config, err);
	return r == DEPLOYMENT_REQUEST_NEW ? deployment_begin(sup, &order, err) : r;
}

static int deployment_request_begin(struct supervisor *sup, const struct request *request,
                                    const struct run_config *of_file, struct error *err)
{
	struct plan *plan = NULL;
	int r = plan_request_make(sup, request, of_file, &plan, err);

	if (r == 0)
		r = deployment_request_begin_plan(sup, request, of_file, plan, err);
	plan_unref(plan);
	return r;
}

/* Answers, after a deployment has begun or there was nothing to do. */
static int deployment_request_answer_begun(struct supervisor *sup, int news)
{
	struct json_object *none;

	if (news == DEPLOYMENT_REQUEST_LATER)
		return 0;
	if (news != DEPLOYMENT_REQUEST_SAME)
		return deployment_request_answer(sup, CONTROL_WAIT_BEGUN);
	none = json_build_new_object();
	json_build_text(none, "service", sup->name);
	json_build_text(none, "outcome", "unchanged");
	json_build_flag(none, "changed", false);
	json_build_text(none, "new", sup->plan->config.label);
	control_answer_deployment(sup, CONTROL_WAIT_BEGUN, EXIT_OK, NULL, none);
	json_object_put(none);
	return 0;
}

/* Goes on with a request that was postponed. */
static void deployment_request_go_on(struct supervisor *sup, const struct request *request,
                                     const struct run_config *of_file, const struct error *why)
{
	struct error err = {};
	int r = -EINVAL;

	if (why)
		err = *why;
	else
		r = deployment_request_begin(sup, request, of_file, &err);
	if (r < 0) {
		log_line("%s: %s", sup->name, err.text);
		control_answer_deployment(sup, CONTROL_WAIT_BEGUN, err.status, err.text, NULL);
	} else {
		deployment_request_answer_begun(sup, r);
	}
	if (!sup->reload)
		reload_begin_queued(sup);
	report_change(sup);
}

int deployment_request_deploy(struct supervisor *sup, struct control_client *client,
                              const struct request *request, struct error *err)
{
	const bool goes_on = deployment_request_supersedes(sup, request) ||
	                     deployment_request_joined(sup, request);
	int r = goes_on && !sup->postponed ? 0 : reload_check_idle(sup, err);

	if (r < 0)
		return r;
	control_wait_for(client, CONTROL_WAIT_BEGUN, NULL);
	if (sup->all->reader && !request->argv)
		return postponed_until_read(sup, request, deployment_request_go_on, err);
	r = deployment_request_begin(sup, request, NULL, err);
	return r < 0 ? r : deployment_request_answer_begun(sup, r);
}

/* --- promote, pause, abort */

int deployment_request_promote(struct supervisor *sup, struct control_client *client,
                               const struct request *request, struct error *err)
{
	int r;

	control_wait_for(client, CONTROL_WAIT_DEPLOYMENT, NULL);
	r = deployment_promote(sup, request->full, err);
	return r < 0 ? r : deployment_request_answer(sup, CONTROL_WAIT_DEPLOYMENT);
}

int deployment_request_pause(struct supervisor *sup, struct control_client *client,
                             const struct request *request, struct error *err)
{
	int r;

	control_wait_for(client, CONTROL_WAIT_DEPLOYMENT, NULL);
	r = deployment_pause(sup, err);
	return r < 0 ? r : deployment_request_answer(sup, CONTROL_WAIT_DEPLOYMENT);
}

int deployment_request_abort(struct supervisor *sup, struct control_client *client,
                             const struct request *request, struct error *err)
{
	int r;

	control_wait_for(client, CONTROL_WAIT_DEPLOYMENT, NULL);
	r = deployment_abort(sup, request->why, err);
	return r < 0 ? r : deployment_request_answer(sup, CONTROL_WAIT_DEPLOYMENT);
}

/* --- rollback */

/* Sets the command and label of the request from a deployment of the history, if it had that
 * version. */
static int deployment_request_take_command(struct json_object *row, const char *to,
                                           struct request *ret)
{
	static const struct {
		const char *label, *argv;
	} versions[] = {{"new", "argv"}, {"old", "old_argv"}};

	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		const char *label = json_read_text(row, versions[i].label);
		struct json_object *state = json_read_value(row, "state");

		if (!label || strcmp(label, to) != 0 ||
		    request_parse_command(json_read_value(state, versions[i].argv), &ret->argv) < 0)
			continue;
		snprintf(ret->label, sizeof(ret->label), "%s", label);
		return 0;
	}
	return -ENOENT;
}

/* The version before the last deployment that changed the service. @to: or this one. */
static int deployment_request_find(const struct supervisor *sup, const char *to,
                                   struct request *ret, struct error *err)
{
	const char *now = sup->plan->config.label;
	struct json_object *list = NULL;
	int r = deployment_file_read_whole_history(sup->name, &list, err);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = json_object_array_length(list); r < 0 && i-- > 0;) {
		struct json_object *row = json_object_array_get_idx(list, i);
		const char *new = json_read_text(row, "new"), *old = json_read_text(row, "old");
		const char *outcome = json_read_text(row, "outcome");
		const bool in_force =
		        new &&old &&outcome && !strcmp(new, now) &&
		        (!strcmp(outcome, "promoted") || !strcmp(outcome, "rolled-back"));

		if (*to || in_force)
			r = deployment_request_take_command(row, *to ? to : old, ret);
	}
	json_object_put(list);
	if (r == 0)
		return 0;
	return *to ? error_set(err, -ENOENT, "service '%s' has had no version '%s'", sup->name, to)
	           : error_set(err, -ENOENT, "service '%s' has had no version before '%s'",
	                       sup->name, now);
}

/* A rolling deployment of a command that the service had before. */
static int deployment_request_deploy_again(struct supervisor *sup, const char *to,
                                           struct error *err)
{
	_cleanup_request_ struct request request = {.kind = REQUEST_DEPLOY,
	                                            .fields = REQUEST_LABEL | REQUEST_ARGV};
	struct deploy_settings settings = sup->plan->config.deploy;
	char *rolling[] = {"strategy=rolling", NULL};
	struct plan *plan = NULL;
	int r = deployment_request_find(sup, to, &request, err);

	if (r == 0)
		r = plan_request_make(sup, &request, NULL, &plan, err);
	if (r == 0)
		r = deployment_request_label(sup, &request, plan, err);
	if (r == DEPLOYMENT_REQUEST_SAME)
		r = error_set(err, -EEXIST, "service '%s' has version '%s' already", sup->name,
		              request.label);
	settings.strategy = DEPLOY_ROLLING;
	if (r == DEPLOYMENT_REQUEST_NEW)
		r = deployment_begin(sup,
		                     &(struct deployment_order){.plan = plan,
		                                                .settings = &settings,
		                                                .words = rolling,
		                                                .goes_back = true},
		                     err);
	plan_unref(plan);
	return r;
}

int deployment_request_roll_back(struct supervisor *sup, struct control_client *client,
                                 const struct request *request, struct error *err)
{
	int r;

	control_wait_for(client, CONTROL_WAIT_DEPLOYMENT, NULL);
	if (deployment_state_under_way(sup))
		r = deployment_abort(sup, "by `rollback`", err);
	else if (deployment_return_is_possible(sup) &&
	         (!request->to[0] || !strcmp(request->to, sup->deployment->old_label)))
		r = deployment_return(sup, NULL, err);
	else
		r = deployment_request_deploy_again(sup, request->to, err);
	return r < 0 ? r : deployment_request_answer(sup, CONTROL_WAIT_DEPLOYMENT);
}
