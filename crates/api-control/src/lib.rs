//! The control plane's REST faces
