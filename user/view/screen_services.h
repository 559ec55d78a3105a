/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of services on the screen of `top`: the rows of view/list_view.h. */
#pragma once

#include "view/screen.h"

/* As screen_draw() and screen_move(). screen->selected is the index of a service. */
void screen_services_draw(FILE *out, struct json_object *services, struct screen *screen);
void screen_services_move(struct json_object *services, struct screen *screen, long by);

/* The name of the selected service; NULL if there is no service. It belongs to @services. */
const char *screen_services_selected(struct json_object *services, const struct screen *screen);
