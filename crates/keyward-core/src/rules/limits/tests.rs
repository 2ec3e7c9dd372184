use std::collections::HashMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn limit(text: &str) -> Limit {
    text.parse().unwrap()
}

fn moment(text: &str) -> Moment {
    Moment::of(text.parse().unwrap())
}

#[test]
fn limits_are_read_as_they_are_written() {
    for (text, shown, count, seconds, burst) in [
        ("100/1m", "100/1m", 100, 60, Some(100)),
        ("100/1m:20", "100/1m:20", 100, 60, Some(20)),
        ("100/1m:100", "100/1m", 100, 60, Some(100)),
        ("1/1s", "1/1s", 1, 1, Some(1)),
        ("5/90s", "5/90s", 5, 90, Some(5)),
        ("1000000000/1h", "1000000000/1h", 1_000_000_000, 3_600, Some(1_000_000_000)),
        ("10000/1d", "10000/1d", 10_000, 86_400, None),
        ("50000/1mo", "50000/1mo", 50_000, 31 * 86_400, None),
    ] {
        let limit = limit(text);
        assert_eq!((limit.to_string().as_str(), limit.count(), limit.period().seconds()), (shown, count, seconds));
        assert_eq!(limit.burst(), burst, "{text}");
    }
    for wrong in [
        "",
        "100",
        "100/",
        "/1m",
        "0/1m",
        "1000000001/1m",
        "-1/1m",
        "+1/1m",
        "01/1m",
        "1/0s",
        "1/1",
        "1/61m",
        "1/3601s",
        "1/2h",
        "1/2d",
        "1/24h",
        "1/1mo:5",
        "1/1d:5",
        "1/1m:0",
        "1/1m:",
        "1/1m:5:5",
        "1/01m",
        "1/1w",
        "1/ 1m",
        "1 /1m",
        "1/65536s",
    ] {
        assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
    }
}

#[test]
fn json_has_the_period_as_it_was_written() {
    let json = |text: &str| serde_json::to_string(&limit(text)).unwrap();
    assert_eq!(json("100/60s:20"), r#"{"count":100,"period":"60s","burst":20}"#);
    assert_eq!(json("100/1m"), r#"{"count":100,"period":"1m","burst":100}"#);
    assert_eq!(json("9/1mo"), r#"{"count":9,"period":"1mo","burst":null}"#);
}

#[test]
fn there_is_one_limit_a_period() {
    let all = |texts: &[&str]| Limits::new(texts.iter().map(|text| limit(text)));
    let limits = all(&["9/1mo", "5/1d", "3/1h", "1/1s"]).unwrap();
    let shown: Vec<_> = limits.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["1/1s", "3/1h", "5/1d", "9/1mo"]);
    assert!(all(&["1/1m", "2/60s"]).is_err());
    let nine: Vec<_> = (1..=9).map(|seconds| format!("1/{seconds}s")).collect();
    assert!(all(&nine.iter().map(String::as_str).collect::<Vec<_>>()).is_err());
    let mut limits = all(&["1/1m", "2/1d"]).unwrap();
    limits.set(limit("7/60s")).unwrap();
    assert_eq!(limits, all(&["7/60s", "2/1d"]).unwrap());
    assert!(limits.remove("1m".parse().unwrap()) && !limits.remove("1m".parse().unwrap()));
    assert_eq!(limits, all(&["2/1d"]).unwrap());
}

#[test]
fn a_rate_lets_the_burst_through_and_then_one_an_interval() {
    let (limit, start) = (limit("60/1m:3"), moment("2026-01-31T12:00:00Z"));
    let at = |seconds: i64| Moment(start.0 + seconds * 10_000_000);
    let mut meter = Meter::default();
    for left in [3, 2, 1] {
        assert_eq!(limit.standing(meter, at(0)).remaining, left);
        meter = limit.take(meter, at(0));
    }
    let standing = limit.standing(meter, at(0));
    assert_eq!((standing.remaining, standing.retry_after()), (0, 1));
    assert_eq!(standing.full_at.to_string(), "2026-01-31T12:00:03Z");
    assert_eq!(limit.standing(meter, at(1)).remaining, 1);
    assert_eq!(limit.standing(meter, at(9)).remaining, 3);
    // The clock goes back by a year.
    let back = limit.standing(meter, at(-365 * 86_400));
    assert_eq!((back.remaining, back.retry_after()), (0, 1));
}

#[test]
fn who_has_waited_since_they_looked_at_the_clock_meets_what_others_have_taken_meanwhile() {
    let looked = moment("2026-01-31T12:00:00Z");
    for text in ["1/1m", "1000/1h:3", "5/1s"] {
        let (limit, later) = (limit(text), Moment(looked.0 + 50_000_000));
        let mut meter = Meter::default();
        while limit.standing(meter, later).remaining > 0 {
            meter = limit.take(meter, later);
        }
        assert_eq!(limit.mended(meter, looked), meter, "{text}");
        assert_eq!(limit.standing(meter, looked).remaining, 0, "{text}");
    }
}

#[test]
fn a_quota_is_of_the_calendar_in_utc() {
    let day = limit("2/1d");
    let (evening, midnight) = (moment("2026-01-31T23:59:59.5Z"), moment("2026-02-01T00:00:00Z"));
    let meter = day.take(day.take(Meter::default(), evening), evening);
    let standing = day.standing(meter, evening);
    assert_eq!((standing.remaining, standing.retry_after()), (0, 1));
    assert_eq!(standing.full_at.to_string(), "2026-02-01T00:00:00Z");
    assert_eq!(day.standing(meter, midnight).remaining, 2);
    let month = limit("1/1mo");
    for (now, full) in [
        ("2026-02-28T12:00:00Z", "2026-03-01T00:00:00Z"),
        ("2028-02-28T12:00:00Z", "2028-03-01T00:00:00Z"),
        ("2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
        ("9999-11-05T00:00:00Z", "9999-12-01T00:00:00Z"),
    ] {
        let now = moment(now);
        let standing = month.standing(month.take(Meter::default(), now), now);
        assert_eq!((standing.remaining, standing.full_at.to_string().as_str()), (0, full));
    }
    // The last representable month.
    let end = Moment::of(Timestamp::MAX);
    for limit in [day, month, limit("1/1h"), limit("1000000000/1s")] {
        let standing = limit.standing(limit.take(Meter::default(), end), end);
        assert!(standing.retry_after() <= limit.period().seconds(), "{limit} {standing:?}");
        let start = Moment::of(Timestamp::MIN);
        let standing = limit.standing(limit.take(Meter::default(), start), start);
        assert!(standing.retry_after() <= limit.period().seconds(), "{limit} {standing:?}");
    }
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let rate = (1u64..40, prop_oneof![Just("1s"), Just("7s"), Just("1m"), Just("1h")], prop::option::of(1u64..40))
        .prop_map(|(count, period, burst)| Limit::new(count, period.parse().unwrap(), burst).unwrap());
    let quota = (1u64..40, prop_oneof![Just("1d"), Just("1mo")])
        .prop_map(|(count, period)| Limit::new(count, period.parse().unwrap(), None).unwrap());
    prop_oneof![rate, quota]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// With a clock that only goes forward: in any stretch of a period's length, no more than the count and the burst
    /// pass. In any day or month, no more than the count passes. A caller who waits as long as told passes.
    #[test]
    fn no_more_passes_than_may(
        limit in any_limit(),
        start in -3_000_000_000i64..200_000_000_000,
        gaps in prop::collection::vec((0i64..100_000_000_000, 0u8..8), 1..200),
    ) {
        let (mut now, mut meter) = (start, Meter::default());
        let (mut passed, mut windows) = (vec![], HashMap::<i64, u64>::new());
        for (gap, shift) in gaps {
            now += gap >> (shift * 5);
            let standing = limit.standing(meter, Moment(now));
            prop_assert!(standing.retry_after() <= limit.period().seconds());
            prop_assert_eq!(standing.remaining == 0, standing.wait > 0);
            if standing.remaining == 0 {
                let wait = i64::try_from(standing.wait).unwrap();
                prop_assert!(limit.standing(meter, Moment(now + wait)).remaining > 0);
                prop_assert_eq!(limit.standing(meter, Moment(now + wait - 1)).remaining, 0);
                continue;
            }
            meter = limit.take(meter, Moment(now));
            prop_assert_eq!(limit.standing(meter, Moment(now)).remaining, standing.remaining - 1);
            passed.push(now);
            if let Some(window) = limit.window(Moment(now)) {
                *windows.entry(window).or_default() += 1;
            }
        }
        prop_assert!(windows.values().all(|count| *count <= limit.count()));
        if let Some(burst) = limit.burst() {
            let length = i64::try_from(limit.period().seconds()).unwrap() * 10_000_000;
            for (place, first) in passed.iter().enumerate() {
                let within = passed[place..].iter().take_while(|moment| **moment < first + length).count();
                prop_assert!(within as u64 <= burst + limit.count());
            }
        }
    }

    /// Whatever the clock did, a caller who waits as long as told passes, if the clock then runs on.
    #[test]
    fn who_waits_passes_whatever_the_clock_did(limit in any_limit(), times in prop::collection::vec(any::<i32>(), 1..30)) {
        let mut meter = Meter::default();
        for time in times {
            let mut now = Moment(i64::from(time) * 10_000_000);
            // If the clock went back into the previous day or month, that one must end first, and then the one that is
            // used up.
            for waited in 0.. {
                meter = limit.mended(meter, now);
                let standing = limit.standing(meter, now);
                prop_assert!(standing.retry_after() <= limit.period().seconds());
                if standing.remaining > 0 {
                    break;
                }
                prop_assert!(waited < 2, "{:?}", standing);
                now = Moment(now.0 + i64::try_from(standing.wait).unwrap());
            }
            meter = limit.take(meter, now);
        }
    }

    /// With a clock that jumps back and forth by less than a day, no day lets through more than the limit.
    #[test]
    fn a_clock_that_steps_gives_nothing_back(
        count in 1u64..5,
        steps in prop::collection::vec(-70_000i64..70_000, 1..100),
    ) {
        let limit = Limit::new(count, "1d".parse().unwrap(), None).unwrap();
        let (mut second, mut meter, mut days) = (1_767_225_600i64, Meter::default(), HashMap::<i64, u64>::new());
        let mut latest = second;
        for step in steps {
            second = (second + step).max(latest - 86_400);
            latest = latest.max(second);
            let now = Moment(second * 10_000_000);
            meter = limit.mended(meter, now);
            if limit.standing(meter, now).remaining > 0 {
                meter = limit.take(meter, now);
                *days.entry(second.div_euclid(86_400)).or_default() += 1;
            }
        }
        prop_assert!(days.values().all(|passed| *passed <= count), "{:?}", days);
    }

    /// Whatever the clock does, no caller waits longer than a period.
    #[test]
    fn nobody_waits_longer_than_a_period(limit in any_limit(), times in prop::collection::vec(any::<i32>(), 1..100)) {
        let mut meter = Meter::default();
        for time in times {
            let now = Moment(i64::from(time) * 10_000_000);
            let standing = limit.standing(meter, now);
            prop_assert!(standing.retry_after() <= limit.period().seconds(), "{:?}", standing);
            if standing.remaining > 0 {
                meter = limit.take(meter, now);
            }
        }
    }
}
