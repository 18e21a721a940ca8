/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_NODE_DASHBOARD_PAGE_H
#define RH_NODE_DASHBOARD_PAGE_H

/* The dashboard as bytes, made of the files beside this one by web/embed.py, and the value of its
 * Content-Security-Policy. */

#include <stddef.h>

extern const unsigned char rh_dashboard_page[];
extern const size_t rh_dashboard_page_size;
extern const char rh_dashboard_page_policy[];

#endif
