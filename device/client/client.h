/* The device's side of a delivery.  It is public: <earmark/client.h>. */
#ifndef EMK_DEVICE_CLIENT_CLIENT_H
#define EMK_DEVICE_CLIENT_CLIENT_H

#include "core/proto/ticket.h"
#include "core/seal/vault.h"
#include "keystore/keystore.h"

#include <earmark/client.h>

#endif
