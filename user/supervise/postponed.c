/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/postponed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"
#include "core/request.h"
#include "supervise/config_read.h"
#include "supervise/due.h"
#include "supervise/supervisor_request.h"

struct postponed {
	struct supervisor *sup;
	struct request request;
	postponed_done done;
	sd_event_source *on_turn;
	bool reads; /* the file is being read */
	bool has_failed;
	bool has_config;
	struct run_config config;
	struct error err;
};

static void postponed_free(struct postponed *it)
{
	sd_event_source_disable_unref(it->on_turn);
	if (it->has_config)
		run_config_free(&it->config);
	request_free(&it->request);
	free(it);
}

static int postponed_on_turn(sd_event_source *source, void *data)
{
	struct postponed *it = data;
	struct supervisor *sup = it->sup;

	sup->postponed = NULL;
	it->done(sup, &it->request, it->has_config ? &it->config : NULL,
	         it->has_failed ? &it->err : NULL);
	postponed_free(it);
	return 0;
}

static int postponed_new(struct supervisor *sup, const struct request *request, postponed_done done,
                         struct postponed **ret)
{
	struct postponed *it = calloc(1, sizeof(*it));
	int r;

	if (!it)
		return -ENOMEM;
	*it = (struct postponed){.sup = sup, .request = *request, .done = done};
	it->request.argv = it->request.settings = NULL;
	r = strv_copy(request->argv, &it->request.argv);
	if (r == 0)
		r = strv_copy(request->settings, &it->request.settings);
	if (r == 0)
		r = due_new(sup, SD_EVENT_PRIORITY_NORMAL, postponed_on_turn, it, &it->on_turn);
	if (r < 0) {
		postponed_free(it);
		return r;
	}
	*ret = it;
	return 0;
}

static int postponed_set_config(struct postponed *it, const struct run_config *config)
{
	const int r = run_config_copy(config, &it->config);

	it->has_config = r == 0;
	return r;
}

/* --- until the file was read */

static void postponed_on_file(void *data, int r, const struct load_result *loaded,
                              const struct error *err)
{
	struct supervisor *sup = data;
	struct postponed *it = sup->postponed;
	const struct run_config *config = r < 0 ? NULL : config_read_find(loaded, sup->name);

	if (r < 0)
		it->err = *err;
	else if (!config)
		error_set(&it->err, -ENOENT, "%s has no service '%s' any more",
		          sup->request->args->file, sup->name);
	else if (postponed_set_config(it, config) < 0)
		error_set(&it->err, -ENOMEM, "out of memory");
	it->has_failed = !it->has_config;
	it->reads = false;
	due_now(sup, it->on_turn);
}

int postponed_until_read(struct supervisor *sup, const struct request *request, postponed_done done,
                         struct error *err)
{
	struct postponed *it = NULL;
	int r = postponed_new(sup, request, done, &it);

	if (r == 0)
		r = config_read_request(sup->all->reader, postponed_on_file, sup);
	if (r < 0) {
		if (it)
			postponed_free(it);
		return error_set(err, r, "can't read '%s': %s", sup->request->args->file,
		                 strerror(-r));
	}
	it->reads = true;
	sup->postponed = it;
	return 0;
}

/* --- until a deployment has ended */

int postponed_until_ended(struct supervisor *sup, const struct request *request,
                          const struct run_config *config, postponed_done done, struct error *err)
{
	struct postponed *it = NULL;
	int r = postponed_new(sup, request, done, &it);

	if (r == 0 && config)
		r = postponed_set_config(it, config);
	if (r < 0) {
		if (it)
			postponed_free(it);
		return error_set(err, r, "out of memory");
	}
	sup->postponed = it;
	return 0;
}

bool postponed_is_reload(const struct supervisor *sup)
{
	return sup->postponed && sup->postponed->request.kind == REQUEST_RELOAD;
}

void postponed_go_on(struct supervisor *sup)
{
	if (sup->postponed && !sup->postponed->reads)
		due_now(sup, sup->postponed->on_turn);
}

void postponed_drop(struct supervisor *sup)
{
	if (!sup->postponed)
		return;
	if (sup->postponed->reads)
		config_read_drop(sup->all->reader, sup);
	postponed_free(sup->postponed);
	sup->postponed = NULL;
}
