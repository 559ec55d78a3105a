/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/request.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_limit.h"
#include "base/strv.h"
#include "core/schedule_version.h"

/* An object, an array, and what is in the array; json-c counts one level more. */
#define REQUEST_DEPTH_MAX 4

struct request_row {
	const char *name;
	unsigned int may_have, must_have; /* bits of enum request_field */
};

static const struct request_row requests[] = {
        [REQUEST_RELOAD] = {"reload",
                            REQUEST_ARGV | REQUEST_LABEL | REQUEST_BATCH | REQUEST_IN_PLACE |
                                    REQUEST_KEEP_GOING | REQUEST_ALL,
                            0},
        [REQUEST_RESTART] = {"restart",
                             REQUEST_SLOTS | REQUEST_BATCH | REQUEST_IN_PLACE | REQUEST_KEEP_GOING,
                             REQUEST_SLOTS},
        [REQUEST_SCALE] = {"scale", REQUEST_WORKERS, REQUEST_WORKERS},
        [REQUEST_STOP] = {"stop", REQUEST_SLOTS, 0},
        [REQUEST_START] = {"start", REQUEST_SLOTS, REQUEST_SLOTS},
        [REQUEST_DEPLOY] = {"deploy",
                            REQUEST_ARGV | REQUEST_LABEL | REQUEST_SUPERSEDE | REQUEST_WAIT |
                                    REQUEST_SETTINGS,
                            0},
        [REQUEST_PROMOTE] = {"promote", REQUEST_FULL, 0},
        [REQUEST_PAUSE] = {"pause", 0, 0},
        [REQUEST_ABORT] = {"abort", REQUEST_WHY, 0},
        [REQUEST_ROLLBACK] = {"rollback", REQUEST_TO | REQUEST_WAIT, 0},
};

/* What clients of `web` may ask for. */
static const struct request_row actions[] = {
        [REQUEST_DRAIN] = {"drain", REQUEST_SLOTS | REQUEST_FORCE, REQUEST_SLOTS},
        [REQUEST_RESUME] = {"resume", REQUEST_SLOTS, REQUEST_SLOTS},
        [REQUEST_PROMOTE] = {"promote", REQUEST_FULL, 0},
        [REQUEST_PAUSE] = {"pause", 0, 0},
        [REQUEST_ABORT] = {"abort", REQUEST_WHY, 0},
        [REQUEST_ROLLBACK] = {"rollback", REQUEST_TO, 0},
};

struct field_row {
	const char *name;
	enum request_field field;
	const char *must_be;
	/* Returns 0, -ENOMEM, or -EINVAL if the value is not what it must be. */
	int (*set)(void *member, struct json_object *value);
	size_t at;
};

/* --- the types of fields */

/* The text of a JSON string; NULL if it is no string, or has a NUL. */
static const char *request_text(struct json_object *value)
{
	const char *text = json_object_get_string(value);

	return json_object_is_type(value, json_type_string) &&
	                       strlen(text) == (size_t)json_object_get_string_len(value)
	               ? text
	               : NULL;
}

/* json-c makes the nearest number out of one that is beyond 64 bits. */
static int request_parse_number(struct json_object *value, int64_t min, int64_t max, int64_t *ret)
{
	const int64_t number = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || number < min || number > max)
		return -EINVAL;
	*ret = number;
	return 0;
}

static int request_set_count(void *member, struct json_object *value)
{
	int64_t number = 0;
	int r = request_parse_number(value, 1, RPD_SLOT_MAX, &number);

	*(unsigned int *)member = number;
	return r;
}

static int request_set_flag(void *member, struct json_object *value)
{
	*(bool *)member = json_object_get_boolean(value);
	return json_object_is_type(value, json_type_boolean) ? 0 : -EINVAL;
}

static int request_set_label(void *member, struct json_object *value)
{
	const char *text = request_text(value);

	if (!text || !schedule_version_is_label(text))
		return -EINVAL;
	strcpy(member, text); /* its length was checked */
	return 0;
}

static int request_set_text(void *member, struct json_object *value)
{
	const char *text = request_text(value);

	if (!text || strlen(text) >= REQUEST_TEXT_MAX)
		return -EINVAL;
	strcpy(member, text);
	return 0;
}

static int request_set_slots(void *member, struct json_object *value)
{
	struct slots *slots = member;
	const size_t n =
	        json_object_is_type(value, json_type_array) ? json_object_array_length(value) : 0;
	int64_t next = 0, slot = 0;

	if (n == 0 || n > RPD_SLOT_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++, next = slot + 1) {
		if (request_parse_number(json_object_array_get_idx(value, i), next,
		                         RPD_SLOT_MAX - 1, &slot) < 0)
			return -EINVAL;
		slots->at[slots->n++] = slot;
	}
	return 0;
}

int request_parse_command(struct json_object *array, char ***ret)
{
	const size_t n =
	        json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
	_cleanup_strv_ char **words = calloc(n + 1, sizeof(*words));

	if (!words)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *word = request_text(json_object_array_get_idx(array, i));

		if (!word)
			return -EINVAL;
		words[i] = strdup(word);
		if (!words[i])
			return -ENOMEM;
	}
	if (n == 0 || !*words[0])
		return -EINVAL;
	*ret = TAKE_PTR(words);
	return 0;
}

static int request_set_command(void *member, struct json_object *value)
{
	return request_parse_command(value, member);
}

#define AT(member)    offsetof(struct request, member)
#define TO_SLOT_MAX   "a number from 1 to 1024"
#define TRUE_OR_FALSE "true or false"
#define A_VERSION     "a version: 1 to 31 printable ASCII characters, and no space"
_Static_assert(REQUEST_TEXT_MAX == 256, "as in the text");
_Static_assert(RPD_SLOT_MAX == 1024, "as in the text");

static const struct field_row fields[] = {
        {"argv", REQUEST_ARGV,
         "an array of one or more texts without NUL, and the first one not empty",
         request_set_command, AT(argv)},
        {"label", REQUEST_LABEL, A_VERSION, request_set_label, AT(label)},
        {"batch", REQUEST_BATCH, TO_SLOT_MAX, request_set_count, AT(batch)},
        {"in_place", REQUEST_IN_PLACE, TRUE_OR_FALSE, request_set_flag, AT(in_place)},
        {"keep_going", REQUEST_KEEP_GOING, TRUE_OR_FALSE, request_set_flag, AT(keep_going)},
        {"slots", REQUEST_SLOTS, "an array of one or more slots, from 0 to 1023, ascending",
         request_set_slots, AT(slots)},
        {"workers", REQUEST_WORKERS, TO_SLOT_MAX, request_set_count, AT(workers)},
        {"supersede", REQUEST_SUPERSEDE, TRUE_OR_FALSE, request_set_flag, AT(supersede)},
        {"wait", REQUEST_WAIT, TRUE_OR_FALSE, request_set_flag, AT(wait)},
        {"full", REQUEST_FULL, TRUE_OR_FALSE, request_set_flag, AT(full)},
        {"force", REQUEST_FORCE, TRUE_OR_FALSE, request_set_flag, AT(force)},
        {"all", REQUEST_ALL, TRUE_OR_FALSE, request_set_flag, AT(all)},
        {"to", REQUEST_TO, A_VERSION, request_set_label, AT(to)},
        {"why", REQUEST_WHY, "a text of at most 255 bytes without NUL", request_set_text, AT(why)},
        {"settings", REQUEST_SETTINGS, "an array of one or more texts without NUL",
         request_set_command, AT(settings)},
};
_Static_assert(RPD_LABEL_MAX == 32, "as in the text");

/* --- a request */

static int request_find(struct json_object *object, struct request *ret, struct error *err)
{
	struct json_object *value = NULL;
	const char *name;

	json_object_object_get_ex(object, "do", &value);
	name = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
	if (!name)
		return error_usage(err, "the request has no field 'do', a text");
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		if (request_text(value) && !strcmp(name, requests[i].name)) {
			ret->kind = (enum request_kind)i;
			return 0;
		}
	return error_set(err, -EOPNOTSUPP,
	                 "the supervisor does not know the request '%.64s'; is the command of "
	                 "another version of reuseportd?",
	                 name);
}

static int request_take_field(const struct request_row *row, const char *name,
                              struct json_object *value, struct request *ret, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field_row *field = &fields[i];
		int r;

		if (strcmp(name, field->name) != 0 || !(row->may_have & field->field))
			continue;
		ret->fields |= field->field;
		r = field->set((char *)ret + field->at, value);
		if (r == -ENOMEM)
			return error_set(err, r, "out of memory");
		return r < 0 ? error_usage(err, "the field '%s' of request '%s' must be %s", name,
		                           row->name, field->must_be)
		             : 0;
	}
	return error_usage(err,
	                   "the request '%s' has no field '%.64s'; is the command of another "
	                   "version of reuseportd than the supervisor?",
	                   row->name, name);
}

static int request_check_complete(const struct request *request, const struct request_row *row,
                                  struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (row->must_have & ~request->fields & fields[i].field)
			return error_usage(err, "the request '%s' needs the field '%s': %s",
			                   row->name, fields[i].name, fields[i].must_be);
	return 0;
}

/* @row: of an action; NULL: the field "do" names the request. */
static int request_read(struct json_object *object, const struct request_row *row,
                        struct request *ret, struct error *err)
{
	const bool is_named = !row;
	int r = is_named ? request_find(object, ret, err) : 0;

	if (r < 0)
		return r;
	row = row ? row : &requests[ret->kind];
	json_object_object_foreach(object, name, value)
	{
		if (r == 0 && !(is_named && !strcmp(name, "do")))
			r = request_take_field(row, name, value, ret, err);
	}
	return r == 0 ? request_check_complete(ret, row, err) : r;
}

static int request_parse_row(const struct request_row *row, const char *text, size_t n,
                             struct request *ret, struct error *err)
{
	struct json_tokener *tokener = json_tokener_new_ex(REQUEST_DEPTH_MAX);
	struct json_object *object;
	int r;

	if (!tokener)
		return error_set(err, -ENOMEM, "out of memory");
	if (!json_limit_allows(text, n)) {
		json_tokener_free(tokener);
		return error_usage(err, "the request has too many empty objects or arrays");
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	object = json_tokener_parse_ex(tokener, text, (int)n);
	if (json_object_is_type(object, json_type_object) &&
	    json_tokener_get_parse_end(tokener) == n)
		r = request_read(object, row, ret, err);
	else
		r = error_usage(err, "the request is not a JSON object in one line");
	json_object_put(object);
	json_tokener_free(tokener);
	if (r < 0)
		request_free(ret);
	return r;
}

int request_parse(const char *text, size_t n, struct request *ret, struct error *err)
{
	*ret = (struct request){};
	return request_parse_row(NULL, text, n, ret, err);
}

int request_parse_action(enum request_kind kind, const char *text, size_t n, struct request *ret,
                         struct error *err)
{
	*ret = (struct request){.kind = kind};
	return request_parse_row(&actions[kind], text, n, ret, err);
}

const char *request_action_name(enum request_kind kind)
{
	return kind < ARRAY_SIZE(actions) ? actions[kind].name : NULL;
}

void request_free(struct request *request)
{
	strv_free(request->argv);
	strv_free(request->settings);
	*request = (struct request){};
}
