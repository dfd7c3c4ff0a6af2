//! Guests in the component text format against the whole host.
