/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of a Node worker's channel: what is taken from them can be sent as a message of its own. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/node_message.h"
#include "fuzz.h"

static void check_again(const char *text)
{
	struct json_object *value = json_object_new_string(text);
	const char *line = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
	_cleanup_free_ char *again = node_message_text(line, strlen(line));

	/* A text of brackets only has too many for its length. */
	FUZZ_CHECK(again ? !strcmp(again, text) : strpbrk(text, "[{") != NULL);
	json_object_put(value);
}

static void run(const char *text, size_t size)
{
	_cleanup_free_ char *found = node_message_text(text, size);

	if (!found)
		return;
	FUZZ_CHECK(strlen(found) <= size);
	check_again(found);
}

const struct fuzz_target fuzz_target = {run, 64};
