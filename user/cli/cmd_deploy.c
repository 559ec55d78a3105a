/* SPDX-License-Identifier: BSD-2-Clause */
#include <unistd.h>

#include "base/json_build.h"
#include "base/json_read.h"
#include "cli/ask_supervisor.h"
#include "cli/deploy_follow.h"
#include "cli/positional.h"
#include "view/answer.h"

static struct json_object *cmd_deploy_request(const struct invocation *i)
{
	struct json_object *request = ask_supervisor_new_request(i, "deploy");

	if (i->relabel)
		json_build_text(request, "label", i->relabel);
	if (i->run.command)
		json_build_words(request, "argv", i->run.command);
	if (i->settings)
		json_build_words(request, "settings", i->settings);
	if (i->supersede)
		json_build_flag(request, "supersede", true);
	return request;
}

int cmd_deploy(struct invocation *i, struct error *err)
{
	struct json_object *answer = NULL;
	struct supervised supervised;
	struct deploy_follow follow = {
	        .service = supervised.service, .timeout = i->timeout, .json = i->json};
	int r;

	if (i->stay && i->leave)
		return error_usage(err, "--wait and --detach can't be used together");
	if (i->timeout >= 0 && i->leave)
		return error_usage(err, "--timeout needs --wait");
	r = positional_take_service(i, err);
	if (r == 0)
		r = ask_supervisor_find(i, &supervised, err);
	if (r == 0)
		r = ask_supervisor_deploy(i, supervised.service, cmd_deploy_request(i), &answer,
		                          err);
	if (r < 0)
		return r;
	follow.id = json_read_number(answer, "id"); /* 0: there is nothing to do */
	if (!follow.id || i->leave || (!i->stay && i->timeout < 0 && !isatty(STDOUT_FILENO))) {
		if (!i->json && !follow.id)
			printf("%s: nothing to do: it has this version, with this command\n",
			       supervised.service);
		if (i->json)
			answer_print(answer, true, NULL);
		else
			json_object_put(answer);
		return 0;
	}
	json_object_put(answer);
	return deploy_follow(&follow, err);
}
