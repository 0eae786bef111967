//! The audit record and its row, written in the transaction of every state change
