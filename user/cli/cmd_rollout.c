/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "cli/ask_supervisor.h"
#include "cli/deploy_follow.h"
#include "cli/positional.h"
#include "service/deployment_file.h"
#include "view/answer.h"
#include "view/deployment_view.h"

static int cmd_rollout_print(const struct invocation *i, const char *service, struct error *err)
{
	struct json_object *deployment;
	int r = deployment_file_read(service, &deployment, err);

	if (r == DEPLOYMENT_NONE)
		return error_set(err, -ENOENT, "service '%s' has had no deployment", service);
	if (r == 0)
		answer_print(deployment, i->json, deployment_view_print);
	return r;
}

static int cmd_rollout_print_history(const struct invocation *i, const char *service,
                                     struct error *err)
{
	struct json_object *list;
	int r = deployment_file_read_history(service, &list, err);

	if (r == 0)
		answer_print(list, i->json, deployment_view_print_history);
	return r;
}

int cmd_rollout(struct invocation *i, struct error *err)
{
	struct supervised supervised;
	struct deploy_follow follow = {
	        .service = supervised.service, .timeout = -1, .json = i->json};
	int r;

	if (i->watch && i->history)
		return error_usage(err, "--watch and --history can't be used together");
	r = positional_take_service(i, err);
	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r < 0)
		return r;
	if (i->watch)
		return deploy_follow(&follow, err);
	return i->history ? cmd_rollout_print_history(i, supervised.service, err)
	                  : cmd_rollout_print(i, supervised.service, err);
}
