/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/rereading.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "core/request.h"
#include "supervise/config_read.h"
#include "supervise/due.h"
#include "supervise/supervisor_request.h"

struct rereading {
	struct supervisor *sup;
	struct request request;
	rereading_done done;
	sd_event_source *on_turn;
	/* What has been read. */
	bool has_config;
	struct run_config config;
	struct error err;
};

static void rereading_free(struct rereading *it)
{
	sd_event_source_disable_unref(it->on_turn);
	if (it->has_config)
		run_config_free(&it->config);
	strv_free(it->request.settings);
	free(it);
}

static int rereading_on_turn(sd_event_source *source, void *data)
{
	struct rereading *it = data;
	struct supervisor *sup = it->sup;

	sup->rereading = NULL;
	it->done(sup, &it->request, it->has_config ? &it->config : NULL, &it->err);
	rereading_free(it);
	return 0;
}

static void rereading_on_file(void *data, int r, const struct load_result *loaded,
                              const struct error *err)
{
	struct supervisor *sup = data;
	struct rereading *it = sup->rereading;
	const struct run_config *config = r < 0 ? NULL : config_read_find(loaded, sup->name);

	if (r < 0)
		it->err = *err;
	else if (!config)
		error_set(&it->err, -ENOENT, "%s has no service '%s' any more",
		          sup->request->args->file, sup->name);
	else if (run_config_copy(config, &it->config) < 0)
		error_set(&it->err, -ENOMEM, "out of memory");
	else
		it->has_config = true;
	due_now(sup, it->on_turn);
}

int rereading_begin(struct supervisor *sup, const struct request *request, rereading_done done,
                    struct error *err)
{
	struct rereading *it = calloc(1, sizeof(*it));
	int r = it ? 0 : -ENOMEM;

	if (r == 0) {
		*it = (struct rereading){.sup = sup, .request = *request, .done = done};
		r = strv_copy(request->settings, &it->request.settings);
	}
	if (r == 0)
		r = due_new(sup, SD_EVENT_PRIORITY_NORMAL, rereading_on_turn, it, &it->on_turn);
	if (r == 0)
		r = config_read_request(sup->all->reader, rereading_on_file, sup);
	if (r < 0) {
		if (it)
			rereading_free(it);
		return error_set(err, r, "can't read '%s': %s", sup->request->args->file,
		                 strerror(-r));
	}
	sup->rereading = it;
	return 0;
}

void rereading_drop(struct supervisor *sup)
{
	if (!sup->rereading)
		return;
	config_read_drop(sup->all->reader, sup);
	rereading_free(sup->rereading);
	sup->rereading = NULL;
}
