/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/persisted_command.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json_build.h"
#include "base/strv.h"
#include "core/request.h"
#include "core/schedule_edit.h"
#include "kern/cgroup.h"
#include "kern/file_read.h"
#include "service/run_dir.h"
#include "supervise/plan.h"
#include "supervise/report.h"
#include "supervise/supervisor_request.h"

/* The two parts of the file: the configuration's command, and the one in force. */
#define GIVEN    "given"
#define IN_FORCE "in_force"

#define FILE_NAME "command"

void persisted_command_forget(const struct supervisor *sup)
{
	run_dir_unlink(sup->name, FILE_NAME);
}

static bool persisted_command_is_same(const struct run_config *a, const struct run_config *b)
{
	return strcmp(a->label, b->label) == 0 && strv_equal(a->argv, b->argv);
}

/* --- to the file */

static struct json_object *persisted_command_format(const struct run_config *config)
{
	struct json_object *part = json_build_new_object();

	json_build_words(part, "argv", config->argv);
	json_build_text(part, "label", config->label);
	return part;
}

static int persisted_command_write_file(const struct supervisor *sup,
                                        const struct run_config *config)
{
	struct json_object *object = json_build_new_object();
	const char *text;
	int r;

	json_build_value(object, GIVEN, persisted_command_format(sup->request->config));
	json_build_value(object, IN_FORCE, persisted_command_format(config));
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	r = text ? run_dir_write(sup->name, FILE_NAME, text) : -ENOMEM;
	json_object_put(object);
	return r;
}

int persisted_command_keep(const struct supervisor *sup, const struct run_config *config,
                           struct error *err)
{
	int r;

	if (persisted_command_is_same(config, sup->request->config)) {
		persisted_command_forget(sup);
		return 0;
	}
	r = persisted_command_write_file(sup, config);
	return r < 0 ? error_set(err, r,
	                         "can't save the new command in %s: %s; the next supervisor would "
	                         "start the old one again",
	                         sup->run_dir, strerror(-r))
	             : 0;
}

/* --- from the file */

/* A copy of @like with the command and label of the part. */
static int persisted_command_read_part(struct json_object *file, const char *name,
                                       const struct run_config *like, struct run_config *ret)
{
	struct json_object *part = json_object_object_get(file, name);
	const char *label = json_object_get_string(json_object_object_get(part, "label"));
	_cleanup_strv_ char **argv = NULL;
	int r = request_parse_command(json_object_object_get(part, "argv"), &argv);

	if (r == 0)
		r = label ? schedule_edit_check_label(label, NULL) : -EINVAL;
	if (r == 0)
		r = run_config_copy(like, ret);
	if (r < 0)
		return r;
	run_config_set_command(ret, TAKE_PTR(argv), label);
	return 0;
}

/* The command for a message, cut to @size. */
static const char *persisted_command_text(const struct run_config *config, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (char **word = config->argv; *word && used < size; word++)
		used += snprintf(buf + used, size - used, "%s%s", used ? " " : "", *word);
	return buf;
}

static void persisted_command_apply(struct supervisor *sup, const struct run_config *given,
                                    const struct run_config *in_force)
{
	struct plan *plan = NULL;
	char text[512];

	persisted_command_text(in_force, text, sizeof(text));
	if (persisted_command_is_same(given, sup->request->config))
		plan = plan_new(in_force);
	if (!plan) {
		if (!persisted_command_is_same(in_force, sup->request->config))
			report_line(
			        sup,
			        "the workers run '%s' (%s), which a reload has set; workers that "
			        "are started from now on run the command given here",
			        text, in_force->label);
		/* The slots still have the label of the other command. */
		if (strcmp(in_force->label, sup->request->config->label) != 0)
			sup->plan->relabel = true;
		persisted_command_forget(sup);
		return;
	}
	report_line(sup,
	            "the command is '%s' (%s), which a reload has set; `reuseportd reload %s -- "
	            "COMMAND` changes it",
	            text, in_force->label, sup->name);
	plan_unref(sup->plan);
	sup->plan = plan;
}

void persisted_command_restore(struct supervisor *sup)
{
	struct run_config given, in_force;
	_cleanup_free_ char *text = NULL;
	struct json_object *file;
	char path[PATH_MAX];

	run_config_init(&given);
	run_config_init(&in_force);
	run_dir_path(sup->name, FILE_NAME, path, sizeof(path));
	if (!cgroup_is_populated(sup->cgroup_fd)) /* no worker runs it any more */
		persisted_command_forget(sup);
	if (access(path, F_OK) < 0)
		return;
	file = file_read(path, FILE_READ_CONFIG_MAX, &text, NULL, NULL) == 0
	               ? json_tokener_parse(text)
	               : NULL;
	if (persisted_command_read_part(file, GIVEN, &sup->plan->config, &given) == 0 &&
	    persisted_command_read_part(file, IN_FORCE, &sup->plan->config, &in_force) == 0)
		persisted_command_apply(sup, &given, &in_force);
	else
		report_line(sup,
		            "can't read %s: workers that are started run the command given here",
		            path);
	json_object_put(file);
	run_config_free(&given);
	run_config_free(&in_force);
}
