//! The core's [`Exchange`] port on the exchange client.

use apply_core::{
    ApprovedClose, ApprovedStop, Armed, Exchange, Fill, HeldBack, LastLook, Look, NotSent,
    OrderKind, OrderTrace, Position, Prepared, QuantityRules, Settlement, Side, Submission, Symbol,
    exchange::{ExchangeError, Omission, Profit, StopPlaced, StopReplacement, StopsAfterClose},
    execute::SIGNING_SLACK,
    plan_id::{client_order_id, is_client_order_id},
    times,
};
use exchange_client::{
    self as client, Client, ClientAlgoId, ClientOrderId, CloseIntent, Departure, OrderReport,
    PositionMode, PositionSide, PreparedOrder, RequestError, SendWindow, StopIntent, StopReport,
    StopSettlement, StopStatus, StopTrace, SymbolRules, Unconfirmed, VenueTime,
};
use futures_util::{
    future::{Either, join3, select},
    stream::{FuturesUnordered, StreamExt as _},
};
use permit_gate::PlanId;
use rust_decimal::Decimal;
use std::{
    fmt,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// One account on one test host, or none: a dry run needs no keys and asks the venue nothing.
#[derive(Debug, Clone)]
pub struct Venue(Option<Client>);

/// The core counts on no order of this client landing later than it says.
const _: () = assert!(client::LANDING_SLACK.as_millis() <= times::LANDING_SLACK.as_millis());

impl Venue {
    /// The venue behind this client; without one every question ends in
    /// [`ExchangeError::NoCredentials`].
    pub fn new(client: Option<Client>) -> Self {
        Self(client)
    }

    /// What a client that sends orders is set up with: the window in which the core counts on an order to
    /// land or not.
    pub fn settings() -> client::Settings {
        let mut settings = client::Settings::default();
        settings.recv_window = times::RECEIVE_WINDOW;
        settings
    }

    /// Does everything slow before the first order ([`Client::warm_up`]), and asks again what fails or stays silent until
    /// `patience` is over.
    ///
    /// # Errors
    /// [`RequestError`] of the question that failed last; calling again is safe.
    pub async fn warm_up(client: &Client, patience: Duration) -> Result<(), RequestError> {
        let until = Instant::now() + patience;
        persist(client, until, |client: Client| async move {
            client.warm_up().await
        })
        .await
    }

    fn client(&self) -> Result<&Client, ExchangeError> {
        self.0.as_ref().ok_or(ExchangeError::NoCredentials)
    }
}

/// Everything about an order that is known before its permits are.
pub struct OrderContext {
    rules: Arc<SymbolRules>,
    mode: PositionMode,
    /// The order that would close the position; none where the symbol is flat.
    closing: Option<PreparedOrder>,
    /// When an order in this context may be signed.
    window: SendWindow,
    /// How often the venue's time had jumped by then.
    jumps: u64,
}

impl fmt::Debug for OrderContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderContext")
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl QuantityRules for OrderContext {
    fn cut(&self, wanted: Decimal) -> Result<Decimal, String> {
        self.rules
            .cut_quantity(wanted)
            .map(|q| q.get())
            .map_err(|error| error.to_string())
    }

    fn maximum(&self) -> Option<Decimal> {
        self.rules.largest_quantity()
    }
}

impl Exchange for Venue {
    type OrderContext = OrderContext;

    async fn prepare(
        &self,
        asked: &Symbol,
        plan: &PlanId,
        sign_by: Instant,
    ) -> Result<Prepared<OrderContext>, ExchangeError> {
        let client = self.client()?;
        let symbol = venue_symbol(asked)?;
        let id = client_order_id(plan)
            .parse::<ClientOrderId>()
            .map_err(|error| unfit(&error))?;
        let jumps = jumps_of(client);
        // Later than this no answer serves an order any more.
        let until = sign_by
            .checked_sub(SIGNING_SLACK + LAST_ANSWER)
            .unwrap_or(sign_by);
        let named = &symbol;
        let listed = persist(client, until, |client: Client| async move {
            client.fetch_rules(named).await
        })
        .await;
        let rules = listed.map_err(|error| match error {
            RequestError::NotListed(_) => ExchangeError::NotListed(asked.clone()),
            other => unavailable(other),
        })?;
        // From here on the one that the rules have: thousands of order contexts share it.
        let symbol = rules.symbol.clone();
        let mode = persist(client, until, |client: Client| async move {
            client.fetch_position_mode().await
        })
        .await
        .map_err(unavailable)?;
        let (named, ours) = (&symbol, &id);
        let (ordered, held, _) = join3(
            persist(client, until, |client: Client| async move {
                client.fetch_order(named, ours).await
            }),
            persist(client, until, |client: Client| async move {
                client.fetch_positions(Some(named)).await
            }),
            // No reason to wait for longer: what it was looking at is given up, and the order gets a new one.
            timeout(LONGEST_CHECK, client.check_order_connection(SILENT)),
        )
        .await;
        if let Some(report) = ordered.map_err(unanswered)? {
            return Ok(Prepared::Ordered(trace_of(&report, client.server_time())));
        }
        if !rules.is_trading() {
            return Err(ExchangeError::NotTrading {
                symbol: asked.clone(),
                status: rules.status.clone().into_owned(),
            });
        }
        let mut held = held.map_err(unavailable)?;
        held.retain(|position| !position.amount.is_zero());
        let held = match (held.pop(), held.pop()) {
            (None, _) => None,
            (Some(only), None) => Some(only),
            (Some(one), Some(other)) => {
                return Err(ExchangeError::Unfit(format!(
                    "the account holds a {} and a {} position of {symbol}, and a plan does not say which to close",
                    other.side, one.side
                )));
            }
        };
        let amount = held
            .as_ref()
            .map_or(Decimal::ZERO, |position| position.amount);
        let mark_price = held.as_ref().and_then(|position| position.mark_price);
        let now = client.server_time();
        let left = sign_by.saturating_duration_since(Instant::now());
        let mut window = SendWindow {
            not_before: now,
            not_after: now.plus(left),
            recv_window: Duration::ZERO,
        };
        let closing = match held {
            None => None,
            Some(position) => {
                let order = client
                    .prepare_close(&position, mode, &rules, id)
                    .map_err(|error| unfit(&error))?
                    .sign_by(window.not_after);
                window.recv_window = order.recv_window();
                Some(order)
            }
        };
        let context = OrderContext {
            rules,
            mode,
            closing,
            window,
            jumps,
        };
        Ok(Prepared::Fresh(Position {
            amount,
            mark_price,
            context,
        }))
    }

    fn trace(&self, context: &OrderContext) -> Option<OrderTrace> {
        let order = context.closing.as_ref()?;
        Some(trace(order.intent(), context.window))
    }

    async fn submit_close(
        &self,
        order: Armed<ApprovedClose>,
        context: OrderContext,
        look: &impl LastLook,
    ) -> Submission {
        let (client, prepared) = match (self.client(), context.closing) {
            (Ok(client), Some(prepared)) => (client, prepared),
            (Err(error), _) => return not_sent(error),
            (_, None) => return not_sent("there is no position to close"),
        };
        let quantity = match context.rules.cut_quantity(order.quantity()) {
            // Cut already, for these rules: another result would be another order than the approved one.
            Ok(quantity) if quantity.get() == order.quantity() => quantity,
            Ok(other) => {
                return not_sent(format!(
                    "{} was approved, the rules allow {other}",
                    order.quantity()
                ));
            }
            Err(error) => return not_sent(error),
        };
        let intent = CloseIntent {
            at_most: Some(order.quantity()),
            ..prepared.intent().clone()
        };
        if side_of(intent.side) != order.side()
            || intent.client_order_id.as_str() != order.client_order_id()
        {
            return not_sent("the prepared order is not the approved one");
        }
        let look = Asked::of(look, client, context.jumps);
        match client.submit_after(prepared, quantity, &look).await {
            client::Submission::Accepted(report) if report.has_ended() => {
                Submission::Accepted(fill(&report, order.quantity()))
            }
            client::Submission::Accepted(report) => Submission::Unknown {
                why: format!("order {} is {} yet", report.order_id, report.status_word()),
                // It was taken already; the window only bounds how long one that was not could still land.
                trace: trace(
                    &intent,
                    SendWindow::at(client.server_time(), Duration::ZERO),
                ),
            },
            client::Submission::Rejected(no) => Submission::Rejected {
                code: no.code,
                message: with_advice(no.code, &no),
            },
            client::Submission::NotSent(not) => match not.refused_with() {
                Some(code) => Submission::Rejected {
                    code,
                    message: with_advice(code, &not),
                },
                None => Submission::NotSent { why: look.why(not) },
            },
            client::Submission::Unknown(unknown) => Submission::Unknown {
                why: unknown.to_string(),
                trace: trace(&intent, unknown.window),
            },
        }
    }

    async fn settle(&self, symbol: &Symbol, plan: &PlanId, trace: &OrderTrace) -> Settlement {
        let asked = self
            .client()
            .and_then(|client| Ok((client, untrace(symbol, plan, trace)?)));
        let (client, (intent, window)) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                return Settlement::Unresolved {
                    why: error.to_string(),
                    seen: None,
                };
            }
        };
        match client.settle(&intent, window, PATIENCE).await {
            client::Settlement::Filled(report) => {
                Settlement::Accepted(fill(&report, ordered(&report)))
            }
            client::Settlement::NotExecuted(evidence) => Settlement::NotExecuted {
                why: evidence.to_string(),
            },
            client::Settlement::Unresolved(why) => Settlement::Unresolved {
                why: why.to_string(),
                seen: why.last_seen().map(|report| fill(report, ordered(report))),
            },
        }
    }

    async fn look_for(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        order: OrderKind,
    ) -> Result<Option<OrderTrace>, ExchangeError> {
        let client = self.client()?;
        // No plan waits for it with permits in hand; the plan's own wait has not begun.
        let until = Instant::now() + LOOK_FOR;
        match order {
            OrderKind::Close => {
                let id = client_order_id(plan)
                    .parse::<ClientOrderId>()
                    .map_err(|error| unfit(&error))?;
                let symbol = venue_symbol(symbol)?;
                let (named, ours) = (&symbol, &id);
                let ordered = persist(client, until, |client: Client| async move {
                    client.fetch_order(named, ours).await
                })
                .await;
                let ordered = ordered.map_err(unanswered)?;
                Ok(ordered.map(|report| trace_of(&report, client.server_time())))
            }
            OrderKind::Stop => {
                let id = client_order_id(plan)
                    .parse::<ClientAlgoId>()
                    .map_err(|error| unfit(&error))?;
                let ours = &id;
                let placed = persist(client, until, |client: Client| async move {
                    client.fetch_stop(ours).await
                })
                .await
                .map_err(unanswered)?;
                Ok(placed.map(|stop| {
                    let position_side = stop.position_side.unwrap_or(PositionSide::Both);
                    placed_trace(stop.side, position_side, client.server_time())
                }))
            }
        }
    }

    async fn fetch_profit(
        &self,
        symbol: &Symbol,
        fill: &Fill,
    ) -> Result<Option<Profit>, ExchangeError> {
        let client = self.client()?;
        let order_id = fill
            .order_id
            .parse()
            .map_err(|_| unfit(&"the order's number is none"))?;
        let (symbol, filled) = (
            &venue_symbol(symbol)?,
            (client_side(fill.side), fill.executed_qty),
        );
        let earned = persist(
            client,
            Instant::now() + ACCOUNT,
            |client: Client| async move { client.fetch_profit_of(symbol, order_id, filled).await },
        )
        .await
        .map_err(unavailable)?;
        Ok(earned.map(|earned| Profit {
            realized: earned.gross,
            net: earned.net,
            commission: earned.commission.into_iter().collect(),
            average_price: Some(earned.average_price),
        }))
    }

    async fn account_for_stops(
        &self,
        symbol: &Symbol,
        side: Side,
    ) -> Result<StopsAfterClose, ExchangeError> {
        let client = self.client()?;
        let symbol = venue_symbol(symbol)?;
        let until = Instant::now() + ACCOUNT;
        // The stops first: what stands there when the position is gone guards nothing, also where a new one is opened next.
        let named = &symbol;
        let stops = persist(client, until, |client: Client| async move {
            client.fetch_open_stops(named).await
        })
        .await;
        let mut ours = stops.map_err(unavailable)?;
        ours.retain(|stop| is_ours(stop) && side_of(stop.side) == side);
        if ours.is_empty() {
            return Ok(StopsAfterClose::default());
        }
        let held = persist(client, until, |client: Client| async move {
            client.fetch_positions(Some(named)).await
        })
        .await;
        let held = held.map_err(unavailable)?;
        let guarded = held
            .iter()
            .filter(|position| Side::closing(position.amount) == Some(side));
        let open: Decimal = guarded.map(client::Position::size).sum();
        let mut after = StopsAfterClose {
            open: Some(open),
            ..StopsAfterClose::default()
        };
        for stop in ours {
            let number = stop.algo_id;
            let id = number.to_string();
            if open.is_zero() {
                match persist(client, until, |client: Client| async move {
                    client.cancel_stop(number).await
                })
                .await
                {
                    Ok(()) => after.cancelled.push(id),
                    Err(error) => after.not_cancelled.push((id, error.to_string())),
                }
            } else if let Some(over) = stop.quantity.filter(|over| *over > open) {
                after.larger_than_position.push((id, over));
            }
        }
        Ok(after)
    }

    async fn replace_stop(
        &self,
        stop: Armed<ApprovedStop>,
        context: OrderContext,
        look: &impl LastLook,
    ) -> StopReplacement {
        let not_sent = |why: String| StopReplacement::NotSent {
            why: NotSent::Failed(why),
        };
        let (client, position) = match (self.client(), &context.closing) {
            (Ok(client), Some(closing)) => (client, position_of(closing.intent())),
            (Err(error), _) => return not_sent(error.to_string()),
            (_, None) => return not_sent("there is no position to guard".into()),
        };
        let id = match stop.client_order_id().parse::<ClientAlgoId>() {
            Ok(id) => id,
            Err(error) => return not_sent(error.to_string()),
        };
        let intent =
            StopIntent::for_position(&position, context.mode, &context.rules, stop.trigger(), id)
                .and_then(|intent| intent.over(stop.quantity(), &context.rules));
        let intent = match intent {
            // Cut already, for these rules.
            Ok(intent) if intent.quantity().get() == stop.quantity() => {
                intent.sign_by(context.window.not_after)
            }
            Ok(intent) => {
                return not_sent(format!(
                    "a stop over {} was approved, the rules allow {}",
                    stop.quantity(),
                    intent.quantity()
                ));
            }
            Err(error) => return not_sent(error.to_string()),
        };
        let (side, window) = (stop.side(), context.window);
        let look = Asked::of(look, client, context.jumps);
        match client.replace_stop_after(&intent, &look).await {
            client::StopReplacement::Replaced {
                new,
                removed,
                left_over,
            } => StopReplacement::Placed(placed(&intent, side, &new, &removed, &left_over)),
            client::StopReplacement::Rejected(no) => StopReplacement::Rejected {
                code: no.code,
                message: with_advice(no.code, &no),
            },
            client::StopReplacement::NotSent(not) => match not.refused_with() {
                Some(code) => StopReplacement::Rejected {
                    code,
                    message: with_advice(code, &not),
                },
                None => StopReplacement::NotSent { why: look.why(not) },
            },
            client::StopReplacement::NotRead(error) => {
                not_sent(format!("the stops in place could not be read: {error}"))
            }
            client::StopReplacement::Unconfirmed(unconfirmed) => {
                finish_stop(client, &intent, side, window, &unconfirmed).await
            }
        }
    }

    async fn settle_stop(
        &self,
        symbol: &Symbol,
        plan: &PlanId,
        trace: &OrderTrace,
    ) -> StopReplacement {
        let asked = self.client().and_then(|client| {
            let id = client_order_id(plan)
                .parse::<ClientAlgoId>()
                .map_err(|error| unfit(&error))?;
            let (intent, window) = untrace(symbol, plan, trace)?;
            let stop = StopTrace {
                id,
                symbol: intent.symbol,
                side: intent.side,
                position_side: intent.position_side,
                quantity: None,
                at_most: intent.at_most,
                trigger: None,
                working_type: None,
            };
            Ok((client, stop, window))
        });
        match asked {
            Ok((client, stop, window)) => {
                let found = client.settle_stop(&stop, window, false, PATIENCE).await;
                as_it_stands(found, trace.side)
            }
            Err(error) => StopReplacement::Unknown {
                why: error.to_string(),
            },
        }
    }

    fn take_omissions(&self) -> Vec<Omission> {
        let new = self.0.iter().flat_map(Client::take_new_omissions);
        new.map(|omission| Omission {
            what: omission.to_string(),
            symbol: omission
                .symbol
                .and_then(|symbol| symbol.as_str().parse().ok()),
        })
        .collect()
    }
}

/// Asks a question until it has an answer, or `until`: one passing fault costs no close. One that fails is asked again
/// after a pause, one that stays without an answer is asked again beside it: its connection may have been dropped without
/// a word. One that still waits for its turn is not, as long as the turns go on. The first answer counts, and the last
/// failure where none comes.
async fn persist<T, F>(
    client: &Client,
    until: Instant,
    ask: impl Fn(Client) -> F,
) -> Result<T, RequestError>
where
    F: Future<Output = Result<T, RequestError>>,
{
    // A repeat goes over a connection of its own: those that wait may all have been dropped.
    let fresh = client.freshly();
    let (mut asked, mut pause) = (FuturesUnordered::new(), FIRST_PAUSE);
    // The latest: by whom, since when, and how long it may be silent.
    let (mut by, mut departure, mut patience) = (client, Departure::new(), SILENT);
    asked.push(ask(by.noting(&departure)));
    let mut again = Instant::now() + SILENT;
    loop {
        let next = pin!(sleep(again.saturating_duration_since(Instant::now())));
        let answered = match asked.is_empty() {
            true => {
                next.await;
                None
            }
            false => match select(asked.next(), next).await {
                Either::Left((answered, _)) => answered,
                Either::Right(_) => None,
            },
        };
        match answered {
            Some(Err(error)) if error.may_pass() => {
                again = again.min(Instant::now() + pause);
                // Whatever else is under way.
                patience = Duration::ZERO;
                // Bounded: a venue that is away for a long wait is asked dozens of times.
                pause = (pause * 2).min(SILENT_AGAIN);
                if asked.is_empty() && again >= until {
                    return Err(error);
                }
            }
            Some(answer) => return answer,
            None => {
                let enough = by.silent_since(&departure) + patience;
                if !asked.is_empty() && Instant::now() < enough {
                    again = enough;
                    continue;
                }
                if asked.len() < MOST_BESIDE && (again < until || asked.is_empty()) {
                    (by, departure, patience) = (&fresh, Departure::new(), SILENT_AGAIN);
                    asked.push(ask(by.noting(&departure)));
                }
                again = Instant::now() + SILENT_AGAIN;
            }
        }
    }
}

/// Before a question that failed is asked again; doubled each time, up to [`SILENT_AGAIN`].
const FIRST_PAUSE: Duration = Duration::from_millis(25);
/// So long a question may stay without an answer before it is asked a second time beside it.
const SILENT: Duration = Duration::from_millis(300);
/// The same for every further time: what is silent twice has little time left.
const SILENT_AGAIN: Duration = Duration::from_millis(150);
/// How often a question is under way at most: the weight is everybody's.
const MOST_BESIDE: usize = 6;
/// How long the order's connection is looked at: twice, before there is hardly time left for the rest.
const LONGEST_CHECK: Duration = Duration::from_millis(600);
/// How long the venue is asked whether it has a plan's order before anything else is done for the plan.
const LOOK_FOR: Duration = Duration::from_secs(1);
/// How long the venue is asked what a close earned, and about the stops of the position that was closed.
const ACCOUNT: Duration = Duration::from_secs(2);
/// Before the last moment for an answer: what the rest takes.
const LAST_ANSWER: Duration = Duration::from_millis(50);

/// The core's look, asked by the client. The client knows its answers as sentences; what they were is kept here.
struct Asked<'a, L> {
    look: &'a L,
    client: &'a Client,
    jumps: u64,
    held: Mutex<Option<HeldBack>>,
}

impl<'a, L> Asked<'a, L> {
    /// `jumps` is how often the venue's time had jumped before anybody said yes to the order.
    fn of(look: &'a L, client: &'a Client, jumps: u64) -> Self {
        Self {
            look,
            client,
            jumps,
            held: Mutex::default(),
        }
    }

    fn hold(&self, held: HeldBack) -> String {
        let why = held.to_string();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        why
    }

    /// Why nothing was sent.
    fn why(self, not: client::NotSent) -> NotSent {
        let held = self.held.into_inner();
        match held.unwrap_or_else(PoisonError::into_inner) {
            Some(held) => NotSent::HeldBack(held),
            None => NotSent::Failed(not.to_string()),
        }
    }
}

impl<L: LastLook> client::LastLook for Asked<'_, L> {
    fn look(&self, stamped: Instant) -> client::Look {
        if jumps_of(self.client) != self.jumps {
            // This machine's clock does not count while it sleeps: what was said a moment ago may be old.
            return client::Look::Refuse(self.hold(HeldBack::TooLate {
                why: "the venue's time has jumped, this machine may have slept".into(),
            }));
        }
        match self.look.look(stamped) {
            Look::Go => client::Look::Go,
            Look::AskAgain => client::Look::AskAgain,
            Look::HeldBack(held) => client::Look::Refuse(self.hold(held)),
        }
    }

    async fn ask_again(&self) -> Result<(), String> {
        self.look.ask_again().await.map_err(|held| self.hold(held))
    }
}

fn jumps_of(client: &Client) -> u64 {
    client.clock().map_or(0, |reading| reading.jumps)
}

/// For a stop that was sent before: it is confirmed and the old ones go.
struct PlacesNothing;

impl client::LastLook for PlacesNothing {
    fn look(&self, _: Instant) -> client::Look {
        client::Look::Refuse("it was sent before".into())
    }

    async fn ask_again(&self) -> Result<(), String> {
        Ok(())
    }
}

/// How long the venue is asked what became of an order or a stop. The client asks; no other layer asks again.
const PATIENCE: client::SettleDeadlines = client::SettleDeadlines {
    // When it is back it will know.
    silent: Duration::from_secs(600),
    // What it shows of orders, fills and positions may not fit together for a moment.
    answering: Duration::from_secs(30),
};

/// A stop that left and was not confirmed is asked about. Where it stands the old ones go.
async fn finish_stop(
    client: &Client,
    intent: &StopIntent,
    side: Side,
    window: SendWindow,
    unconfirmed: &Unconfirmed,
) -> StopReplacement {
    let window = unconfirmed
        .placing
        .as_ref()
        .map_or(window, |unknown| unknown.window);
    let shown = unconfirmed.seen.is_some();
    let found = client
        .settle_stop(&intent.trace(), window, shown, PATIENCE)
        .await;
    let found = as_it_stands(found, side);
    if !matches!(found, StopReplacement::Placed(_)) {
        return with_first_answer(found, unconfirmed);
    }
    // Its id is used up, and nothing else may be placed here either.
    match client.replace_stop_after(intent, &PlacesNothing).await {
        client::StopReplacement::Replaced {
            new,
            removed,
            left_over,
        } => StopReplacement::Placed(placed(intent, side, &new, &removed, &left_over)),
        _ => found,
    }
}

/// What is known of a stop as the end of a move. Where it is there the old ones may be too: they guard
/// as well, and a person or the next move takes them away.
fn as_it_stands(found: StopSettlement, side: Side) -> StopReplacement {
    let stop = match found {
        StopSettlement::Known(stop) => stop,
        StopSettlement::NeverArrived => {
            let why = "the venue does not know the stop, and it can no longer land";
            return StopReplacement::NotSent {
                why: NotSent::Failed(why.into()),
            };
        }
        StopSettlement::Unresolved(why) => {
            return StopReplacement::Unknown {
                why: why.to_string(),
            };
        }
    };
    let stands = matches!(
        stop.status,
        StopStatus::New | StopStatus::Triggering | StopStatus::Triggered | StopStatus::Finished
    );
    match stop.trigger_price {
        Some(trigger) if stands => StopReplacement::Placed(StopPlaced {
            order_id: stop.algo_id.to_string(),
            side,
            trigger,
            quantity: stop.quantity,
            cancelled: Vec::new(),
            left_over: Vec::new(),
        }),
        _ => StopReplacement::Unknown {
            why: format!("stop {} is {}", stop.algo_id, stop.status_word()),
        },
    }
}

fn placed(
    intent: &StopIntent,
    side: Side,
    new: &StopReport,
    removed: &[u64],
    left_over: &[u64],
) -> StopPlaced {
    let numbers = |all: &[u64]| all.iter().map(u64::to_string).collect();
    StopPlaced {
        order_id: new.algo_id.to_string(),
        side,
        trigger: intent.trigger().get(),
        quantity: Some(intent.quantity().get()),
        cancelled: numbers(removed),
        left_over: numbers(left_over),
    }
}

/// What the venue said to the placing is the only hint there may be.
fn with_first_answer(found: StopReplacement, unconfirmed: &Unconfirmed) -> StopReplacement {
    let Some(first) = &unconfirmed.placing else {
        return found;
    };
    match found {
        StopReplacement::NotSent {
            why: NotSent::Failed(why),
        } => StopReplacement::NotSent {
            why: NotSent::Failed(format!("{why}; {first}")),
        },
        StopReplacement::Unknown { why } => StopReplacement::Unknown {
            why: format!("{why}; {first}"),
        },
        other => other,
    }
}

/// Whether this program has placed it, and it may still be set off.
fn is_ours(stop: &StopReport) -> bool {
    let over = matches!(
        stop.status,
        StopStatus::Finished | StopStatus::Canceled | StopStatus::Rejected | StopStatus::Expired
    );
    let id = stop.client_algo_id.as_ref();
    !over && id.is_some_and(|id| is_client_order_id(id.as_str()))
}

/// The venue's words, and ours on what to do.
fn with_advice(code: i64, words: &impl fmt::Display) -> String {
    format!("{words}. {}", client::advice(code))
}

fn not_sent(why: impl fmt::Display) -> Submission {
    Submission::NotSent {
        why: NotSent::Failed(why.to_string()),
    }
}

fn unavailable(error: RequestError) -> ExchangeError {
    ExchangeError::Unavailable(error.to_string())
}

fn unanswered(error: RequestError) -> ExchangeError {
    ExchangeError::Unavailable(format!(
        "whether it has an order of the plan already: {error}"
    ))
}

fn unfit(error: &impl fmt::Display) -> ExchangeError {
    ExchangeError::Unfit(error.to_string())
}

fn venue_symbol(symbol: &Symbol) -> Result<client::Symbol, ExchangeError> {
    symbol
        .as_str()
        .parse()
        .map_err(|error: client::NameError| unfit(&error))
}

fn side_of(side: client::Side) -> Side {
    match side {
        client::Side::Buy => Side::Buy,
        client::Side::Sell => Side::Sell,
    }
}

fn client_side(side: Side) -> client::Side {
    match side {
        Side::Buy => client::Side::Buy,
        Side::Sell => client::Side::Sell,
    }
}

/// What was ordered, where the venue says so.
fn ordered(report: &OrderReport) -> Decimal {
    report.original_quantity.unwrap_or(report.executed_quantity)
}

fn fill(report: &OrderReport, quantity: Decimal) -> Fill {
    Fill {
        order_id: report.order_id.to_string(),
        side: side_of(report.side),
        quantity,
        executed_qty: report.executed_quantity,
        average_price: report.average_price,
        status: report.status_word().to_owned(),
    }
}

/// The position that a close was prepared for.
fn position_of(intent: &CloseIntent) -> client::Position {
    let before = intent.position_before.unwrap_or_default();
    client::Position::new(intent.symbol.clone(), intent.position_side, before)
}

fn trace(intent: &CloseIntent, window: SendWindow) -> OrderTrace {
    OrderTrace {
        side: side_of(intent.side),
        position_side: intent.position_side.to_string(),
        position_before: intent.position_before,
        at_most: intent.at_most,
        signed_from: window.not_before.as_millis(),
        signed_until: window.not_after.as_millis(),
        receive_window: window.recv_window,
    }
}

/// What to ask with about an order that somebody else sent. It was taken already, so there is no
/// window in which it could still land, and the position before it is unknown here.
fn trace_of(report: &OrderReport, now: VenueTime) -> OrderTrace {
    let position_side = report.position_side.unwrap_or(PositionSide::Both);
    placed_trace(report.side, position_side, now)
}

fn placed_trace(side: client::Side, position_side: PositionSide, now: VenueTime) -> OrderTrace {
    OrderTrace {
        side: side_of(side),
        position_side: position_side.to_string(),
        position_before: None,
        at_most: None,
        signed_from: now.as_millis(),
        signed_until: now.as_millis(),
        receive_window: Duration::ZERO,
    }
}

fn untrace(
    symbol: &Symbol,
    plan: &PlanId,
    trace: &OrderTrace,
) -> Result<(CloseIntent, SendWindow), ExchangeError> {
    let word = &trace.position_side;
    let position_side = PositionSide::from_word(word)
        .ok_or_else(|| unfit(&format!("{word:?} is no position side")))?;
    let intent = CloseIntent {
        symbol: venue_symbol(symbol)?,
        client_order_id: client_order_id(plan)
            .parse::<ClientOrderId>()
            .map_err(|error| unfit(&error))?,
        side: client_side(trace.side),
        position_side,
        position_before: trace.position_before,
        // A journal of an earlier version lacks it; nothing larger than the position is ever sent.
        at_most: trace
            .at_most
            .or_else(|| trace.position_before.map(|held| held.abs())),
    };
    let window = SendWindow {
        not_before: VenueTime::from_millis(trace.signed_from),
        not_after: VenueTime::from_millis(trace.signed_until),
        recv_window: trace.receive_window,
    };
    Ok((intent, window))
}

/// The stops of this program that wait at the venue, whatever their symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopsInPlace {
    /// How many guard a position.
    pub guarding: usize,
    /// Symbol and the venue's number of those that have none: they would trade in whatever is opened next.
    pub without_position: Vec<(String, u64)>,
}

impl StopsInPlace {
    /// Asks the venue, weight 45.
    pub async fn fetch(client: &Client) -> Result<Self, RequestError> {
        // The stops first: what stands there once the position is gone guards nothing.
        let stops = client.fetch_all_open_stops().await?;
        let ours: Vec<&StopReport> = stops.iter().filter(|stop| is_ours(stop)).collect();
        if ours.is_empty() {
            return Ok(Self::default());
        }
        let symbols: Vec<_> = ours.iter().map(|stop| stop.symbol.clone()).collect();
        let held = client.fetch_positions_of(&symbols).await?;
        let guarded = |stop: &StopReport| {
            let side = Some(side_of(stop.side));
            let guards = |position: &client::Position| {
                position.symbol == stop.symbol && Side::closing(position.amount) == side
            };
            held.iter().any(guards)
        };
        let (guarding, bare): (Vec<_>, Vec<_>) = ours.into_iter().partition(|stop| guarded(stop));
        let named = |stop: &StopReport| (stop.symbol.to_string(), stop.algo_id);
        Ok(Self {
            guarding: guarding.len(),
            without_position: bare.into_iter().map(named).collect(),
        })
    }
}

/// In one sentence, with what to do.
impl fmt::Display for StopsInPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.guarding {
            0 => f.write_str("none guards a position")?,
            1 => f.write_str("1 guards a position")?,
            many => write!(f, "{many} guard positions")?,
        }
        if !self.without_position.is_empty() {
            let named: Vec<String> = self
                .without_position
                .iter()
                .map(|(symbol, id)| format!("{id} of {symbol}"))
                .collect();
            write!(
                f,
                "; without a position: {}, cancel them at the venue",
                named.join(", ")
            )?;
        }
        Ok(())
    }
}
