/* Whose things a service may reach.
 *
 * A user's tenant is that of the issuer of their tokens, a device's that of its user, a ticket's
 * that of its device.  A service has the tenant it was made with, and reaches nothing of another
 * one: to it, what is another's is not there.  Where no tenant is written down (services made
 * before they had one, users that an operator enrolled without one), the server's default is meant.
 * Operators are the server's, not a tenant's. */
#ifndef EMK_SERVER_API_TENANT_H
#define EMK_SERVER_API_TENANT_H

#include "server/api/api.h"

#define EMK_TENANT_MAX 64u /* bytes of one that an operator gives to a service */

/* The tenant that is meant: lends `tenant`, or the default where that is "". */
const char *emk_api_tenant(const emk_api *api, const char *tenant);
/* Whether who calls may reach what is of this tenant: a service its own, anybody else all. */
bool emk_api_reaches(const emk_call *call, const char *tenant);
/* 1 to EMK_TENANT_MAX visible characters that events can carry. */
bool emk_tenant_is_sound(emk_span tenant);

#endif
