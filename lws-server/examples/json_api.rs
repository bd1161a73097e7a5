//! A list of things to do, as JSON: `cargo run -p lws-server --features json,testing --example json_api -- 127.0.0.1:7681`.

use lws_server::http::{Method, Problem, Request, Response, Status};
use lws_server::{Builder, Server};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Handlers of one thread share what they like, without a lock.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<BTreeMap<u32, Value>>>);

type Answer = Result<Response, Problem>;

impl Tasks {
    /// `GET /tasks?done=true&limit=10`
    fn list(&self, request: &Request<'_>) -> Answer {
        let query = request.query_pairs()?;
        let done: Option<bool> = query.parse_value("done")?;
        let limit: usize = query.parse_value("limit")?.unwrap_or(100);
        let tasks = self.0.borrow();
        let wanted = tasks.values().filter(|task| done.is_none_or(|done| task["done"] == done));
        Ok(Response::to_json(&wanted.take(limit).collect::<Vec<_>>()))
    }

    /// `POST /tasks` with `{"title": "…"}`
    fn add(&self, request: &Request<'_>) -> Answer {
        let mut task: BTreeMap<String, String> = request.json()?;
        let title = task.remove("title").filter(|title| !title.trim().is_empty());
        let Some(title) = title else {
            return Err(Problem::new(Status::UNPROCESSABLE_CONTENT).detail("a task has a title"));
        };
        let mut tasks = self.0.borrow_mut();
        let id = tasks.keys().next_back().map_or(1, |last| last + 1);
        let task = json!({ "id": id, "title": title, "done": false });
        let response = Response::to_json(&task).status(Status::CREATED);
        tasks.insert(id, task);
        Ok(response.field("Location", format!("/tasks/{id}")))
    }

    /// `GET /tasks/7`
    fn get(&self, request: &Request<'_>) -> Answer {
        let tasks = self.0.borrow();
        tasks.get(&id(request)?).map(Response::to_json).ok_or_else(missing)
    }

    /// `PUT /tasks/7/done` with `true` or `false`
    fn mark(&self, request: &Request<'_>) -> Answer {
        let done: bool = request.json()?;
        let mut tasks = self.0.borrow_mut();
        let task = tasks.get_mut(&id(request)?).ok_or_else(missing)?;
        task["done"] = done.into();
        Ok(Response::to_json(task))
    }

    /// `DELETE /tasks/7`
    fn remove(&self, request: &Request<'_>) -> Answer {
        let removed = self.0.borrow_mut().remove(&id(request)?);
        removed.map(|_| Response::new(Status::NO_CONTENT)).ok_or_else(missing)
    }
}

fn id(request: &Request<'_>) -> Result<u32, Problem> {
    request.parse_parameter("id").ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::new(Status::NOT_FOUND).detail("there is no such task")
}

fn describe(server: Builder) -> Builder {
    let tasks = Tasks::default();
    let (list, add, get, mark, remove) = (tasks.clone(), tasks.clone(), tasks.clone(), tasks.clone(), tasks);
    server
        .get("/tasks", move |request: &Request<'_>| list.list(request))
        .post("/tasks", move |request: &Request<'_>| add.add(request))
        .get("/tasks/{id}", move |request: &Request<'_>| get.get(request))
        .methods(&[Method::Put], "/tasks/{id}/done", move |request: &Request<'_>| mark.mark(request))
        .methods(&[Method::Delete], "/tasks/{id}", move |request: &Request<'_>| remove.remove(request))
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7681".to_owned());
    describe(Server::builder().listen(&address)).build()?.run()
}

#[test]
fn tasks_are_added_marked_listed_and_removed() {
    let t = lws_server::testing::Server::new(describe(Server::builder())).expect("a description");
    let add = |json: &str| t.request("POST", "/tasks").json(json).send();
    assert_eq!(add(r#"{"title":"wash up"}"#).field("Location").as_deref(), Some("/tasks/1"));
    assert_eq!(add(r#"{"title":"rest"}"#).text(), r#"{"done":false,"id":2,"title":"rest"}"#);
    assert_eq!(add("{}").status(), 422);
    assert_eq!(add("{").status(), 400);
    assert_eq!(t.request("PUT", "/tasks/1/done").json("true").send().status(), 200);
    assert_eq!(t.get("/tasks?done=false").send().text(), r#"[{"done":false,"id":2,"title":"rest"}]"#);
    assert_eq!(t.get("/tasks?limit=x").send().status(), 400);
    assert_eq!(t.request("DELETE", "/tasks/1").send().status(), 204);
    assert_eq!(t.get("/tasks/1").send().field("Content-Type").as_deref(), Some("application/problem+json"));
    assert_eq!(
        t.request("PATCH", "/tasks").send().field("Allow").as_deref(),
        Some("GET, HEAD, POST, OPTIONS")
    );
}
