/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes the texts of a view plain before they are printed for people. */
#pragma once

#include <json-c/json.h>

/* Escapes each text in @view, as ESCAPE_LINE of base/escape.h. */
void escape_view(struct json_object *view);
