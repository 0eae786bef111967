//! Who may do what: tenancies, users, groups, credentials, the request context
