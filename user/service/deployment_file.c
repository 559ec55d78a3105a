/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/deployment_file.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/json_read.h"
#include "kern/file_read.h"
#include "service/run_dir.h"
#include <reuseportd/abi.h>

/* Returns 0, DEPLOYMENT_NONE, or a negative errno with @err set. */
static int deployment_file_load(const char *service, const char *name, char **ret,
                                char path[PATH_MAX], struct error *err)
{
	int r;

	run_dir_path(service, name, path, PATH_MAX);
	r = file_read(path, DEPLOYMENT_FILE_MAX, ret, NULL, err);
	if (r == -ENOENT)
		return DEPLOYMENT_NONE;
	return r < 0 ? error_set(err, r, "can't read %s: %s", path, strerror(-r)) : 0;
}

static int deployment_file_parse(const char *text, const char *path, bool whole,
                                 struct json_object **ret, struct error *err)
{
	struct json_object *object = json_tokener_parse(text);

	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return error_set(err, -EBADMSG, "%s is damaged: it is not a JSON object", path);
	}
	if (!whole)
		json_object_object_del(object, "state");
	*ret = object;
	return 0;
}

static int deployment_file_read_one(const char *service, bool whole, struct json_object **ret,
                                    struct error *err)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	int r = deployment_file_load(service, DEPLOYMENT_FILE, &text, path, err);

	return r ? r : deployment_file_parse(text, path, whole, ret, err);
}

int deployment_file_read(const char *service, struct json_object **ret, struct error *err)
{
	return deployment_file_read_one(service, false, ret, err);
}

int deployment_file_read_whole(const char *service, struct json_object **ret, struct error *err)
{
	return deployment_file_read_one(service, true, ret, err);
}

/* @whole: with the members for the next supervisor. */
static int deployment_file_read_lines(const char *service, bool whole, struct json_object **ret,
                                      struct error *err)
{
	_cleanup_free_ char *text = NULL;
	struct json_object *list = json_build_new_array();
	char path[PATH_MAX], *rest, *line;
	int r = deployment_file_load(service, DEPLOYMENT_FILE_HISTORY, &text, path, err);

	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n")) && *line) {
		struct json_object *deployment = NULL;

		r = deployment_file_parse(line, path, whole, &deployment, err);
		if (r == 0)
			json_build_add(list, deployment);
	}
	if (r < 0)
		json_object_put(list);
	else
		*ret = list;
	return r < 0 ? r : 0;
}

int deployment_file_read_history(const char *service, struct json_object **ret, struct error *err)
{
	return deployment_file_read_lines(service, false, ret, err);
}

int deployment_file_read_whole_history(const char *service, struct json_object **ret,
                                       struct error *err)
{
	return deployment_file_read_lines(service, true, ret, err);
}

int deployment_file_require_none(const char *service, struct error *err)
{
	struct json_object *deployment = NULL;
	int r = deployment_file_read(service, &deployment, err);

	if (r == 0 && !json_read_text(deployment, "outcome"))
		r = error_set(
		        err, -EBUSY,
		        "service '%s': the deployment of '%.*s' is under way, and has its own "
		        "shares; end it first: `reuseportd abort %s` or `reuseportd promote "
		        "--full %s`",
		        service, RPD_LABEL_MAX, json_read_text(deployment, "new") ?: "", service,
		        service);
	json_object_put(deployment);
	return r < 0 ? r : 0;
}
